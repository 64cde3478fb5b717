import type { Bus, Outbox } from '@millrace/bus';
import type { AppError } from '@millrace/contracts';
import {
  ModelVersionVerificationFailed,
  VERIFICATION_REFUSED_SUBJECT,
  VerificationRefusal,
} from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { isVerificationRefusal } from '@millrace/integrity';
import type { Logger, Metrics } from '@millrace/service-kit';
import { Compile } from 'typebox/compile';
import type { FoundVersion } from '../versions/version.service.ts';
import { versionIds } from '../versions/version-ids.ts';
import { createToldLately } from './told-lately.ts';

/** The same refusal of the same version is told as a fact once in this time (ms); each is counted. */
const QUIET_MS = 60_000;
/** Refusals that are remembered for that; the oldest is forgotten first. */
const REMEMBERED_MAX = 1_000;

type Where = 'registry' | 'inference';
type Refusal = Pick<AppError, 'code' | 'message'>;

export type VerificationReporter = ReturnType<typeof createVerificationReporter>;

/** Tells everybody when a version is refused for its bytes or signature: as a fact, in a metric, in the log. */
export function createVerificationReporter(options: {
  bus: Bus;
  database: Database;
  outbox: Outbox;
  metrics: Metrics;
  logger: Logger;
}) {
  const { database, outbox, logger } = options;
  const told = createToldLately({ everyMs: QUIET_MS, rememberedMax: REMEMBERED_MAX });
  const failures = options.metrics.counter({
    name: 'verification_failures_total',
    help: 'Model versions that were refused for their bytes or signature.',
    labels: ['where', 'code'],
  });

  async function tell(found: FoundVersion, where: Where, { code, message }: Refusal): Promise<void> {
    failures.inc({ where, code });
    const ids = versionIds(found.model, found);
    logger.error({ ...ids, where, code }, 'A model version was refused: it is not what was signed.');
    const key = `${ids.modelVersionId} ${where} ${code}`;
    if (!told.isNew(key)) return;
    try {
      await database.transaction((tx) =>
        outbox.append(
          tx,
          ModelVersionVerificationFailed,
          ids.modelVersionId,
          { ...ids, where, error: { code, message } },
          { tenant: found.model.tenant },
        ),
      );
    } catch (error) {
      told.forget(key);
      logger.error({ err: error, ...ids }, 'The refusal of a version could not be told.');
    }
  }

  return {
    /** Runs a check of a version and tells its refusal before that is thrown on. */
    async watched<T>(found: FoundVersion, check: () => T | Promise<T>): Promise<T> {
      try {
        return await check();
      } catch (error) {
        if (isVerificationRefusal(error)) await tell(found, 'registry', error);
        throw error;
      }
    },

    /** Takes what inference refuses, until `stop`; `find` gives the version. */
    listen(find: (modelVersionId: string) => Promise<FoundVersion>): { stop(): void } {
      const validator = Compile(VerificationRefusal);
      const take = async ({ modelVersionId, error }: VerificationRefusal): Promise<void> =>
        tell(await find(modelVersionId), 'inference', error as Refusal);
      const subscription = options.bus.nc.subscribe(VERIFICATION_REFUSED_SUBJECT, {
        queue: 'registry',
        callback: (error, message) => {
          if (error !== null) return;
          try {
            const refusal: unknown = message.json();
            if (!validator.Check(refusal)) return;
            void take(refusal as VerificationRefusal).catch((cause: unknown) =>
              logger.warn({ err: cause }, 'A refusal by inference was not taken.'),
            );
          } catch {
            // no JSON: nothing of ours
          }
        },
      });
      return { stop: () => subscription.unsubscribe() };
    },
  };
}
