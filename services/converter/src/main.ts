import { fileURLToPath } from 'node:url';
import { assertOwned, serveReferencedDigests, serveTenantRecords } from '@millrace/bus';
import { ConversionJobEvents } from '@millrace/contracts';
import { cancelHint, createJobService, jobRecords, startJobRuntime } from '@millrace/jobs';
import { connectPlatform, startService } from '@millrace/service-kit';
import { blobKey, storageOf } from '@millrace/storage';
import { buildApp } from './app.ts';
import { ConfigSchema } from './config.ts';
import { startConversionConsumers } from './conversions/conversion.consumer.ts';
import { busTables, jobTables } from './schema.ts';

/** Services that may keep a file which is to be converted, the likeliest first. */
const FILE_OWNERS = ['training-orchestrator', 'registry', 'datasets', 'converter'] as const;

const migrationsFolder = fileURLToPath(new URL('../migrations', import.meta.url));

await startService({
  name: 'converter',
  config: ConfigSchema,
  env: process.env,
  connect: (base) => connectPlatform({ ...base, schema: 'converter', busTables, migrationsFolder }),
  async build({ service, config, logger, metrics, auth, readiness, database, bus, outbox }) {
    const storage = storageOf(config);
    const hintCancel = cancelHint(bus);
    const events = ConversionJobEvents;
    const jobs = createJobService({
      service,
      kind: 'convert',
      events,
      database,
      tables: jobTables,
      outbox,
      hintCancel,
      quotaOf: auth.quotaOf,
    });
    const runtime = await startJobRuntime({ bus, database, busTables, jobs, events, pools: ['cpu'] });
    const digests = serveReferencedDigests({ bus, service, database, schema: 'converter' });
    const records = serveTenantRecords({ bus, service }, jobRecords(database, jobTables, 'convert'));
    const consumers = startConversionConsumers({ bus, database, tables: busTables, jobs, hintCancel });
    const app = await buildApp({
      logger,
      metrics,
      auth,
      readiness: { ...readiness, storage: () => storage.checkHealth() },
      jobs,
      database,
      feed: runtime.feed,
      hasBlob: (sha256) => storage.hasBlob(sha256),
      assertOwned: (tenant, sha256s) => assertOwned(bus, FILE_OWNERS, tenant, sha256s),
      presignGet: (sha256) => storage.presignGet(blobKey(sha256)),
    });
    return {
      app,
      async close() {
        await Promise.all([consumers.stop(), digests.stop(), records.stop()]);
        await runtime.stop();
        storage.close();
      },
    };
  },
});
