import { AppError, appErrorFrom } from '@millrace/contracts';

/** Longest wait for an answer, in milliseconds, unless the call says otherwise. */
export const CALL_TIMEOUT_MS = 30_000;

export type ClientOptions = {
  /** Origin of the gateway, `http://127.0.0.1:9926`. */
  url: string;
  /** API key; left out, requests go without one. */
  token?: string;
  fetch?: typeof fetch;
};

export type CallOptions = {
  query?: Readonly<Record<string, string | number | undefined>>;
  /** JSON, or a form with files. */
  body?: object;
  timeoutMs?: number;
  signal?: AbortSignal;
  headers?: Readonly<Record<string, string>>;
};

export type Transport = {
  /** Sends a request and reads JSON. Throws AppError: the platform's own, or `dependency_unavailable`. */
  call<T>(method: string, path: string, options?: CallOptions): Promise<T>;
  /** Opens an answer that is read as it comes. */
  open(path: string, options?: Pick<CallOptions, 'signal'>): Promise<ReadableStream<Uint8Array>>;
};

/** Requests to one gateway. */
export function createTransport(options: ClientOptions): Transport {
  const origin = options.url.replace(/\/+$/, '');
  const send = options.fetch ?? fetch;

  async function request(path: string, init: RequestInit): Promise<Response> {
    const auth: Record<string, string> =
      options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    let response: Response;
    try {
      response = await send(origin + path, {
        ...init,
        headers: { ...auth, ...(init.headers as Record<string, string>) },
      });
    } catch (cause) {
      throw unreachable(origin, cause);
    }
    if (response.ok) return response;
    throw await toAppError(response);
  }

  return {
    async call<T>(method: string, path: string, call: CallOptions = {}): Promise<T> {
      const timeout = AbortSignal.timeout(call.timeoutMs ?? CALL_TIMEOUT_MS);
      const response = await request(path + queryString(call.query), {
        method,
        signal: call.signal === undefined ? timeout : AbortSignal.any([timeout, call.signal]),
        ...bodyOf(call),
      });
      const text = await response.text();
      return (text === '' ? null : JSON.parse(text)) as T;
    },
    async open(path, { signal } = {}) {
      const response = await request(path, signal === undefined ? {} : { signal });
      if (response.body === null)
        throw new AppError('dependency_unavailable', `${path} gave an empty answer.`);
      return response.body;
    },
  };
}

function bodyOf({ body, headers }: CallOptions): RequestInit {
  if (body === undefined) return headers === undefined ? {} : { headers };
  if (body instanceof FormData) return { body, headers: { ...headers } };
  return { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } };
}

function queryString(query: CallOptions['query']): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

function unreachable(origin: string, cause: unknown): AppError {
  const { name } = cause as Error;
  const message =
    name === 'TimeoutError'
      ? `${origin} did not answer in time; look at its log or try again.`
      : name === 'AbortError'
        ? 'The request was given up.'
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
