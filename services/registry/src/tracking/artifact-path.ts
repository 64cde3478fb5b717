import { AppError } from '@millrace/contracts';

const PATH_LENGTH_MAX = 1_000;
/** What file systems take for one name. */
const SEGMENT_BYTES_MAX = 255;
/** More layers of percent-encoding than any client makes. */
const DECODINGS_MAX = 4;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\\#\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
/** Characters that look like a slash but that compatibility decomposition leaves alone. */
const SLASH_ALIKE = /[\u2044\u2215\u29f5\u29f8\u29f9\ufe68\uff0f\uff3c]/;

/**
 * A path of artifacts as it is kept: plain segments joined by slashes, empty for the root. It names a row, never a
 * file, but clients make files of it, so everything that could lead out of a folder there is refused in any disguise:
 * encoded once more or twice, by backslash, as a drive, or by characters that normalise to dots and slashes.
 * Throws `invalid_artifact_path`.
 */
export function artifactPath(raw: string): string {
  const path = raw.replace(/\/$/, '');
  if (path === '') return path;
  if (path.length > PATH_LENGTH_MAX) throw refused(path, `it has more than ${PATH_LENGTH_MAX} characters`);
  for (let form = path, layer = 0; ; layer++) {
    assertPlain(path, form);
    const decoded = decode(form);
    if (decoded === form) return path;
    if (layer === DECODINGS_MAX) throw refused(path, 'it is percent-encoded too many times');
    form = decoded;
  }
}

function assertPlain(path: string, form: string): void {
  if (FORBIDDEN.test(form)) throw refused(path, 'it has a backslash, a # or a control character');
  if (SLASH_ALIKE.test(form)) throw refused(path, 'it has a character that looks like a slash');
  if (/^[A-Za-z]:/.test(form)) throw refused(path, 'it begins with a drive');
  for (const view of [form, form.normalize('NFKC')])
    for (const segment of view.split('/')) {
      if (segment === '' || segment === '.' || segment === '..')
        throw refused(path, 'it is absolute or has an empty, . or .. part');
      if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX)
        throw refused(path, `a part of it has more than ${SEGMENT_BYTES_MAX} bytes`);
    }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // a plain percent sign, or bytes that are no text
    return text.replaceAll(/%(2e|2f|5c|00)/gi, (code) =>
      String.fromCharCode(Number.parseInt(code.slice(1), 16)),
    );
  }
}

function refused(path: string, why: string): AppError {
  return new AppError('invalid_artifact_path', `Invalid path ${JSON.stringify(path.slice(0, 200))}: ${why}.`);
}
