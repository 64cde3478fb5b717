import { AppError, appErrorFrom } from '@millrace/contracts';
import { pause, retryWaitMs } from '../retry.ts';

/** Longest wait for an answer to a call (ms); a search over many runs takes MLflow's own server seconds. */
const CALL_TIMEOUT_MS = 120_000;
/** How often a request that a busy server refused (429, 503) is sent again. */
const RETRIES_MAX = 8;
/** Characters of a foreign error that are shown. */
const ERROR_TEXT_MAX = 500;

type Query = Readonly<Record<string, string | number | undefined>>;

/** One server that speaks MLflow's REST API: somebody's, or a platform. */
export type MlflowServer = {
  readonly origin: string;
  /** A path below `/api/2.0/mlflow/`, or one from the root. */
  get<T>(path: string, query?: Query): Promise<T>;
  send<T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: object): Promise<T>;
  /** Opens a file; `path` is from the root. */
  open(path: string, query?: Query): Promise<ReadableStream<Uint8Array>>;
  put(path: string, body: ReadableStream<Uint8Array>): Promise<void>;
};

export type MlflowServerOptions = {
  readonly origin: string;
  /** What the server is, for messages: `MLflow server` or `platform`. */
  readonly what: string;
  /** What to do when it asks who one is. */
  readonly signInHint: string;
  readonly authorization?: string | undefined;
  readonly fetch?: typeof fetch | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Where MLflow's own code of an error stands in the details of ours. */
export const mlflowCode = (error: AppError): unknown => error.details?.mlflowCode;

/**
 * A server by its origin. Every method throws AppError: `dependency_unavailable` when it does not answer or fails,
 * `auth_required` when it wants to know who asks, `request_cancelled`, else the code that a platform gave, or
 * `invalid_request`.
 */
export function createMlflowServer(options: MlflowServerOptions): MlflowServer {
  const { origin, what, signal } = options;
  const fetchFrom = options.fetch ?? fetch;

  function unreachable(cause: unknown): AppError {
    if (signal?.aborted === true)
      return new AppError('request_cancelled', 'The import was given up; run it again to go on.', { cause });
    const why = (cause as Error).name === 'TimeoutError' ? 'did not answer in time' : 'does not answer';
    return new AppError(
      'dependency_unavailable',
      `The ${what} at ${origin} ${why}; run the import again to go on.`,
      { cause },
    );
  }

  async function refusal(response: Response): Promise<AppError> {
    const text = await response.text().catch(() => '');
    const body = parsed(text);
    const said = String(body.message ?? body.detail ?? text).slice(0, ERROR_TEXT_MAX);
    const message = `${what} at ${origin}: ${said.trim() || `answered ${response.status}`}`;
    const details = { mlflowCode: body.error_code, httpStatus: response.status };
    if (response.status === 401)
      return new AppError('auth_required', `${message}. ${options.signInHint}`, { details });
    const code = body.millrace_code ?? body.code;
    if (typeof code === 'string')
      return new AppError(appErrorFrom({ code, message }).code, message, { details });
    return new AppError(response.status >= 500 ? 'dependency_unavailable' : 'invalid_request', message, {
      details,
    });
  }

  async function request(path: string, init: RequestInit, timeoutMs?: number): Promise<Response> {
    const headers = {
      ...(options.authorization === undefined ? {} : { authorization: options.authorization }),
      ...(init.headers as Record<string, string> | undefined),
    };
    for (let retry = 0; ; retry += 1) {
      const signals = [
        ...(signal === undefined ? [] : [signal]),
        ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)]),
      ];
      const limits = signals.length === 0 ? {} : { signal: AbortSignal.any(signals) };
      const response = await fetchFrom(origin + path, { ...init, headers, ...limits }).catch(
        (cause: unknown) => {
          throw unreachable(cause);
        },
      );
      if (response.ok) return response;
      // a stream was read and cannot be sent once more
      const mayRepeat = retry < RETRIES_MAX && !(init.body instanceof ReadableStream);
      const waitMs = mayRepeat ? retryWaitMs(response, retry) : undefined;
      if (waitMs === undefined) throw await refusal(response);
      await response.body?.cancel();
      await pause(waitMs, signal).catch((cause: unknown) => {
        throw unreachable(cause);
      });
    }
  }

  async function json<T>(path: string, init: RequestInit): Promise<T> {
    const response = await request(path, init, CALL_TIMEOUT_MS);
    const text = await response.text().catch((cause: unknown) => {
      throw unreachable(cause);
    });
    if (text === '') return {} as T;
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new AppError(
        'invalid_request',
        `What answers at ${origin} is no MLflow server: ${path.split('?')[0]} gave no JSON. Give the address that clients have as MLFLOW_TRACKING_URI.`,
        { cause },
      );
    }
  }

  return {
    origin,
    get: <T>(path: string, query?: Query) => json<T>(below(path) + queryText(query), {}),
    send: <T>(method: string, path: string, body: object) =>
      json<T>(below(path), {
        method,
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      }),
    async open(path, query) {
      const { body } = await request(path + queryText(query), {});
      return body ?? new Blob([]).stream();
    },
    async put(path, body) {
      const init = {
        method: 'PUT',
        body,
        duplex: 'half',
        headers: { 'content-type': 'application/octet-stream' },
      };
      const response = await request(path, init as RequestInit);
      await response.body?.cancel();
    },
  };
}

const below = (path: string): string => (path.startsWith('/') ? path : `/api/2.0/mlflow/${path}`);

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function queryText(query: Query = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

/** All items of an answer in pages; `page` asks for the one after a token. */
export async function* pagesOf<Item>(
  page: (
    token: string | undefined,
  ) => Promise<{ items: readonly Item[] | undefined; next: string | undefined }>,
): AsyncGenerator<readonly Item[]> {
  for (let token: string | undefined; ; ) {
    const { items, next } = await page(token);
    if (items !== undefined && items.length > 0) yield items;
    if (next === undefined || next === '' || next === token) return;
    token = next;
  }
}
