const KEY = 'millrace-key';

/** The key given on this page, if any; it lives as long as the tab. */
export const apiKey = {
  get: () => sessionStorage.getItem(KEY),
  set: (key) => (key === '' ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, key)),
};

function headers() {
  const key = apiKey.get();
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** An answer that was no success; `status` is 0 when there was none. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Gets JSON; throws ApiError. */
export async function get(path) {
  let response;
  try {
    response = await fetch(path, { headers: headers(), signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new ApiError(0, 'The gateway does not answer.');
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body.detail ?? response.statusText);
  return body;
}

/** Calls `onEvent(name, data)` for each server-sent event until the stream ends or `signal` aborts. */
export async function follow(path, onEvent, signal) {
  const response = await fetch(path, { headers: headers(), signal });
  if (!response.ok || response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) dispatch(event, onEvent);
  }
}

function dispatch(event, onEvent) {
  let name = 'message';
  const data = [];
  for (const line of event.split('\n')) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(5));
  }
  if (data.length > 0) onEvent(name, JSON.parse(data.join('\n')));
}
