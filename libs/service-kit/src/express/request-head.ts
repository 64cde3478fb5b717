/** What stands before the body of a request. */
export type RequestHead = {
  /** As on the wire, without the empty line. */
  readonly text: string;
  readonly path: string;
  /** Names in lower case, each once. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
};

/** Heads are a few hundred bytes; longer ones are for the other parser, which has the bounds and their errors. */
const HEAD_BYTES_MAX = 8 * 1024;
const END = '\r\n\r\n';
const REQUEST_LINE = /^POST (\/[!-~]*) HTTP\/1\.1$/;
/** Field name and value of RFC 9110 without what only few senders use: no bytes over 127, no white space around the name. */
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([!-~](?:[ -~\t]*[!-~])?)?[ \t]*$/;
const LENGTH = /^\d{1,12}$/;
/** With any of these a request is more than a head and as many bytes as it says. */
const ELSEWHERE = ['transfer-encoding', 'content-encoding', 'expect', 'upgrade', 'trailer'];

function parse(text: string): RequestHead | undefined {
  const lines = text.split('\r\n');
  const path = REQUEST_LINE.exec(lines[0] as string)?.[1];
  if (path === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (let i = 1; i < lines.length; i += 1) {
    const field = FIELD.exec(lines[i] as string);
    if (field === null) return undefined;
    const name = (field[1] as string).toLowerCase();
    if (Object.hasOwn(headers, name) || name === '__proto__') return undefined;
    headers[name] = field[2] ?? '';
  }
  const { 'content-length': length = '', connection = 'keep-alive', host } = headers;
  if (host === undefined || !LENGTH.test(length) || connection.toLowerCase() !== 'keep-alive')
    return undefined;
  if (ELSEWHERE.some((name) => Object.hasOwn(headers, name))) return undefined;
  return { text, path, headers, bodyBytes: Number(length) };
}

/**
 * Reads the head of a plain `POST` that begins `bytes` and is there whole; `last` is the one that came before on the same
 * connection, often the very same. Undefined for anything else and for anything unusual, which is not wrong: whoever asks
 * leaves those to the complete parser.
 */
export function readHead(bytes: Buffer, last?: RequestHead): RequestHead | undefined {
  const end = bytes.indexOf(END);
  if (end < 0 || end > HEAD_BYTES_MAX) return undefined;
  const text = bytes.toString('latin1', 0, end);
  return last?.text === text ? last : parse(text);
}

/** Length of a head on the wire (bytes). */
export const headBytes = (head: RequestHead): number => head.text.length + END.length;
