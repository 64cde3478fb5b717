import type { ConsumerDeps, Pull } from '@millrace/bus';
import { startConsumer } from '@millrace/bus';
import type { WireError } from '@millrace/contracts';
import { ConversionJobEvents, isAppError, Uuid } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import Value from 'typebox/value';
import { refusal } from '../registration/registration.consumer.ts';
import type { ReadyRegistration } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import type { ImportService } from './import.service.ts';
import { prepareImport } from './import-package.ts';

const DURABLE = 'registry-conversion-job';
/** A conflict is final at its first delivery. */
const FINAL_DELIVERY = Number.POSITIVE_INFINITY;

const isUuid = (value: unknown): value is string => Value.Check(Uuid, value);

type Prepared = { ready: ReadyRegistration } | { refused: WireError } | undefined;

export type ImportConsumerDeps = ConsumerDeps & { storage: Storage; key: SigningKey; imports: ImportService };

/** Moves imports on as their conversions do; conversions of pipelines are passed over. */
export function startImportConsumers(deps: ImportConsumerDeps): { stop(): Promise<void> } {
  const { imports } = deps;
  const ended = async (tx: Executor, spec: Record<string, unknown>, error: WireError): Promise<void> => {
    const row = await imports.openOf(spec.requestId);
    if (row !== undefined) await imports.onFailed(tx, row.id, error);
  };
  const pulls: Pull[] = [
    startConsumer(deps, {
      event: ConversionJobEvents.created,
      durable: `${DURABLE}-created`,
      apply: async (tx, { spec, jobId }) => {
        if (isUuid(spec.requestId)) await imports.onJob(tx, spec.requestId, jobId);
      },
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.started,
      durable: `${DURABLE}-started`,
      apply: async (tx, { spec, attempt }) => {
        if (isUuid(spec?.requestId)) await imports.onStarted(tx, spec.requestId, attempt);
      },
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.succeeded,
      durable: `${DURABLE}-succeeded`,
      prepare: async (data, info): Promise<Prepared> => {
        const row = await imports.openOf(data.spec.requestId);
        if (row === undefined) return undefined;
        try {
          return { ready: await prepareImport(deps, row, data) };
        } catch (error) {
          return { refused: refusal(error, info.delivery) };
        }
      },
      apply: async (tx, { spec }, prepared) => {
        if (prepared === undefined) return;
        if ('refused' in prepared) return ended(tx, spec, prepared.refused);
        try {
          await imports.onPrepared(tx, String(spec.requestId), prepared.ready);
        } catch (error) {
          // a conflict is found before anything is written, so the transaction can still carry the answer
          if (!isAppError(error) || error.retryable) throw error;
          await ended(tx, spec, refusal(error, FINAL_DELIVERY));
        }
      },
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.failed,
      durable: `${DURABLE}-failed`,
      apply: (tx, { spec, error }) => ended(tx, spec, error),
    }),
    startConsumer(deps, {
      event: ConversionJobEvents.cancelled,
      durable: `${DURABLE}-cancelled`,
      apply: (tx, { spec }) =>
        ended(tx, spec, { code: 'job_cancelled', message: 'The conversion was cancelled.' }),
    }),
  ];
  return {
    async stop() {
      await Promise.all(pulls.map((pull) => pull.stop()));
    },
  };
}
