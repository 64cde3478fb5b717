import { LaunchError } from '@millrace/embedded';

const CALL_TIMEOUT_MS = 60_000;

/** JSON of the public API, as far as the scripts look into it. */
export type Pipeline = {
  id: string;
  state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  stage: 'dataset' | 'train' | 'convert' | 'register' | 'load' | 'done';
  dataset: { datasetId: string; versionId: string; digest: string; isReused: boolean } | null;
  trainingJobId: string | null;
  conversionJobId: string | null;
  modelVersion: { id: string; version: string; ordinal: number; isReused: boolean } | null;
  times: Partial<Record<string, string>>;
  error: { code: string; message: string } | null;
  createdAt: string;
};

export type Job = {
  id: string;
  state: string;
  status: string;
  progress: {
    stage: string;
    step: number;
    totalSteps: number;
    epoch?: number;
    epochs?: number;
    metrics: Record<string, number | null>;
  } | null;
  result: {
    files: { path: string; sha256: string; sizeBytes: number }[];
    meta: Record<string, unknown>;
  } | null;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
};

/** Calls the gateway; throws a LaunchError with the problem's code and sentence when it refuses. */
export function createPublicApi(origin: string, token: string, signal: AbortSignal) {
  return async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${origin}${path}`, {
      method,
      signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]),
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as T & { code?: string; detail?: string };
    if (response.ok) return answer;
    throw new LaunchError(
      `${method} ${path}`,
      `${response.status} ${answer.code ?? ''}: ${answer.detail ?? ''}`,
    );
  };
}

export type PublicApi = ReturnType<typeof createPublicApi>;
