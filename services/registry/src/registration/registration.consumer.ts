import type { ConsumerDeps, MessageInfo, Outbox, Pull } from '@millrace/bus';
import { ownerOf, startConsumer } from '@millrace/bus';
import type { EventData, WireError } from '@millrace/contracts';
import { isAppError, ModelVersionRejected, PipelineRegistrationRequested } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { Storage } from '@millrace/storage';
import { preparePipelinePackage } from './pipeline-package.ts';
import type { ReadyRegistration, RegistrationService } from './registration.service.ts';
import type { SigningKey } from './sign.ts';

/** A damaged or missing file is looked for this often before the package is refused. */
const DELIVERIES_BEFORE_REFUSAL = 4;

type Request = EventData<typeof PipelineRegistrationRequested>;
type Prepared = { ready: ReadyRegistration } | { refused: WireError };

export type RegistrationConsumerDeps = ConsumerDeps & {
  storage: Storage;
  key: SigningKey;
  registrations: RegistrationService;
  outbox: Outbox;
};

/** Registers what pipelines made; a package that cannot be is answered with `model-version.rejected`. */
export function startRegistrationConsumer(deps: RegistrationConsumerDeps): Pull {
  return startConsumer(deps, {
    event: PipelineRegistrationRequested,
    durable: 'registry-pipeline-registration-requested',
    prepare: (data, info) => prepare(deps, data, info),
    apply: (tx, data, prepared, info) => apply(deps, tx, data, prepared, info),
  });
}

async function prepare(deps: RegistrationConsumerDeps, data: Request, info: MessageInfo): Promise<Prepared> {
  try {
    return { ready: await preparePipelinePackage(deps.storage, deps.key, data, ownerOf(info)) };
  } catch (error) {
    return { refused: refusal(error, info.delivery) };
  }
}

async function apply(
  deps: RegistrationConsumerDeps,
  tx: Executor,
  data: Request,
  prepared: Prepared,
  info: MessageInfo,
): Promise<void> {
  if ('refused' in prepared) return reject(deps, tx, data, prepared.refused, info);
  try {
    await deps.registrations.register(tx, prepared.ready);
  } catch (error) {
    // a conflict is found before anything is written, so the transaction can still carry the answer
    if (!isAppError(error) || error.retryable) throw error;
    await reject(deps, tx, data, refusal(error, DELIVERIES_BEFORE_REFUSAL), info);
  }
}

async function reject(
  { outbox }: RegistrationConsumerDeps,
  tx: Executor,
  data: Request,
  error: WireError,
  info: MessageInfo,
): Promise<void> {
  await outbox.append(
    tx,
    ModelVersionRejected,
    data.pipelineId,
    {
      model: data.model,
      ...(data.version === undefined ? {} : { version: data.version }),
      requestId: data.pipelineId,
      where: 'registration',
      error,
    },
    { tenant: ownerOf(info) },
  );
}

/** The final answer for an error; rethrows one that another delivery may cure. */
export function refusal(error: unknown, delivery: number): WireError {
  if (!isAppError(error)) throw error;
  const isDamage = error.code === 'artifact_corrupt' || error.code === 'artifact_missing';
  const isFinal = !error.retryable || (isDamage && delivery >= DELIVERIES_BEFORE_REFUSAL);
  if (!isFinal) throw error;
  return { code: error.code, message: error.message };
}
