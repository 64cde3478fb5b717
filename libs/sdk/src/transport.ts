import { AppError, appErrorFrom, isAppError } from '@millrace/contracts';
import { pause, RETRIES_DEFAULT, retryWaitMs } from './retry.ts';

/** Longest wait for an answer, in milliseconds, unless the call says otherwise. */
export const CALL_TIMEOUT_MS = 30_000;

export type ClientOptions = {
  /** Origin of the gateway, `http://127.0.0.1:9926`. */
  url: string;
  /** API key; left out, requests go without one. */
  token?: string;
  fetch?: typeof fetch;
  /** How often a request that a busy platform refused (429, 503) is sent again; 0 for never. Only what may come twice. */
  retries?: number;
};

export type CallOptions = {
  query?: Readonly<Record<string, string | number | undefined>>;
  /** JSON, bytes, or a form with files. */
  body?: object;
  /** For all attempts together. */
  timeoutMs?: number;
  signal?: AbortSignal;
  headers?: Readonly<Record<string, string>>;
  /** Whether it may arrive twice, so that it is sent again when the platform is busy; what only reads always may. */
  isRepeatable?: boolean;
};

/** An answer as bytes. */
export type Answer = { bytes: Uint8Array; headers: Headers };

export type Transport = {
  /** Sends a request and reads JSON. Throws AppError: the platform's own, or `dependency_unavailable`. */
  call<T>(method: string, path: string, options?: CallOptions): Promise<T>;
  /** The same for an answer that need not be JSON. */
  exchange(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Whether a path answers with success; anything but an answer is an error. */
  probe(path: string, options?: Pick<CallOptions, 'timeoutMs' | 'signal'>): Promise<boolean>;
  /** Opens an answer that is read as it comes. */
  open(path: string, options?: Pick<CallOptions, 'signal'>): Promise<ReadableStream<Uint8Array>>;
};

type Attempts = { retriesMax: number; endsAt: number; signal: AbortSignal };

/** Requests to one gateway. */
export function createTransport(options: ClientOptions): Transport {
  const origin = options.url.replace(/\/+$/, '');
  const fetchFrom = options.fetch ?? fetch;

  const retriesMax = options.retries ?? RETRIES_DEFAULT;

  async function send(path: string, init: RequestInit): Promise<Response> {
    const auth: Record<string, string> =
      options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    return fetchFrom(origin + path, { ...init, headers: { ...auth, ...(init.headers as object) } });
  }

  /** Sends until the platform is not busy or there is no time left; its last word is then the answer. */
  async function sendUntil(path: string, init: RequestInit, call: Attempts) {
    for (let retry = 0; ; retry += 1) {
      const response = await send(path, init);
      const waitMs = retry < call.retriesMax ? retryWaitMs(response, retry) : undefined;
      if (waitMs === undefined || performance.now() + waitMs > call.endsAt) return response;
      await response.body?.cancel();
      await pause(waitMs, call.signal);
    }
  }

  async function exchange(method: string, path: string, call: CallOptions = {}): Promise<Answer> {
    const timeoutMs = call.timeoutMs ?? CALL_TIMEOUT_MS;
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = call.signal === undefined ? timeout : AbortSignal.any([timeout, call.signal]);
    const isRepeatable = call.isRepeatable ?? method === 'GET';
    const attempts = {
      retriesMax: isRepeatable ? retriesMax : 0,
      endsAt: performance.now() + timeoutMs,
      signal,
    };
    try {
      const init = { method, signal, ...bodyOf(call) };
      const response = await sendUntil(path + queryString(call.query), init, attempts);
      if (!response.ok) throw await toAppError(response);
      return { bytes: new Uint8Array(await response.arrayBuffer()), headers: response.headers };
    } catch (cause) {
      if (isAppError(cause)) throw cause;
      throw unreachable(origin, cause, call.signal);
    }
  }

  return {
    exchange,
    async call<T>(method: string, path: string, call: CallOptions = {}): Promise<T> {
      const { bytes } = await exchange(method, path, call);
      return (bytes.length === 0 ? null : JSON.parse(new TextDecoder().decode(bytes))) as T;
    },
    async probe(path, { timeoutMs = CALL_TIMEOUT_MS, signal } = {}) {
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        const response = await send(path, {
          signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
        });
        await response.body?.cancel();
        return response.ok;
      } catch (cause) {
        throw unreachable(origin, cause, signal);
      }
    },
    async open(path, { signal } = {}) {
      const response = await send(path, signal === undefined ? {} : { signal }).catch((cause: unknown) => {
        throw unreachable(origin, cause, signal);
      });
      if (!response.ok) throw await toAppError(response);
      if (response.body === null)
        throw new AppError('dependency_unavailable', `${path} gave an empty answer.`);
      return response.body;
    },
  };
}

function bodyOf({ body, headers }: CallOptions): RequestInit {
  if (body === undefined) return headers === undefined ? {} : { headers };
  if (body instanceof FormData || body instanceof Uint8Array)
    return { body: body as NonNullable<RequestInit['body']>, headers: { ...headers } };
  return { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } };
}

function queryString(query: CallOptions['query']): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

function unreachable(origin: string, cause: unknown, signal: AbortSignal | undefined): AppError {
  if (signal?.aborted === true)
    return new AppError('request_cancelled', 'The request was given up by its signal.', { cause });
  const message =
    (cause as Error).name === 'TimeoutError'
      ? `${origin} did not answer in time; look at its log or try again.`
      : `No platform answers at ${origin}; start it with npm run up, or name another with --url.`;
  return new AppError('dependency_unavailable', message, { cause });
}

async function toAppError(response: Response): Promise<AppError> {
  const problem = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const message = problem.detail ?? problem.error ?? `The platform answered ${response.status}.`;
  const error = appErrorFrom({ code: problem.code, message });
  return new AppError(error.code, error.message, {
    details: {
      ...(problem.details as object | undefined),
      requestId: problem.instance,
      httpStatus: response.status,
    },
  });
}
