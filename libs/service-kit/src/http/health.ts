import { AppError } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { Logger } from '../logger.ts';

/** A readiness check that takes longer counts as failed. */
export const READINESS_TIMEOUT_MS = 2_000;

/** A named thing the service needs; the function rejects while it is away. */
export type ReadinessChecks = Readonly<Record<string, () => Promise<void>>>;

export const Readiness = Type.Object({
  status: Type.Literal('ok'),
  service: Type.String(),
  version: Type.String(),
  checks: Type.Record(Type.String(), Type.Object({ ok: Type.Boolean(), latencyMs: Type.Number() })),
});
export type Readiness = Static<typeof Readiness>;

type CheckResult = { ok: boolean; latencyMs: number };

/** Runs all checks at once; throws `dependency_unavailable` that names those that failed. */
export async function checkReadiness(
  checks: ReadinessChecks,
  about: { service: string; version: string },
  logger: Logger,
): Promise<Readiness> {
  const results = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => [name, await runCheck(name, check, logger)] as const),
  );
  const failing = results.filter(([, result]) => !result.ok).map(([name]) => name);
  if (failing.length > 0) {
    throw new AppError(
      'dependency_unavailable',
      `${about.service} is not ready: ${failing.join(', ')} does not answer.`,
      {
        details: { failing, checks: Object.fromEntries(results) },
      },
    );
  }
  return { status: 'ok', ...about, checks: Object.fromEntries(results) };
}

async function runCheck(name: string, check: () => Promise<void>, logger: Logger): Promise<CheckResult> {
  const startedMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no answer in ${READINESS_TIMEOUT_MS} ms`)),
      READINESS_TIMEOUT_MS,
    );
  });
  try {
    await Promise.race([check(), timeout]);
    return { ok: true, latencyMs: round(performance.now() - startedMs) };
  } catch (error) {
    logger.warn({ check: name, err: error }, 'A readiness check failed.');
    return { ok: false, latencyMs: round(performance.now() - startedMs) };
  } finally {
    clearTimeout(timer);
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
