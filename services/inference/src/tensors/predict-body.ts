import { AppError } from '@millrace/contracts';
import { JsonCursor } from './json-cursor.ts';

/** The place of the value of one member of a JSON object in the bytes of a body. */
export type Member = { readonly key: string; readonly start: number; readonly end: number };

/** Up to this many members are compared one by one. */
const FEW_MEMBERS = 8;

/**
 * Lists the members of the object that opens at `at` without reading their values.
 * Throws `invalid_json` when it is not an object, is cut off, or names a key twice.
 */
export function objectMembers(bytes: Buffer, at = 0): { members: Member[]; end: number } {
  const cursor = new JsonCursor(bytes, at);
  if (!cursor.isObject()) throw new AppError('invalid_json', 'The body must be a JSON object.');
  cursor.openObject();
  const members: Member[] = [];
  let seen: Set<string> | undefined;
  for (let key = cursor.nextKey(true); key !== undefined; key = cursor.nextKey(false)) {
    if (members.length === FEW_MEMBERS) seen = new Set(members.map((member) => member.key));
    const isKnown = seen?.has(key) ?? members.some((member) => member.key === key);
    if (isKnown) throw new AppError('invalid_json', `The body names "${key}" twice.`);
    seen?.add(key);
    const start = cursor.at;
    cursor.skip();
    members.push({ key, start, end: cursor.at });
  }
  return { members, end: cursor.at };
}

/** Refuses anything but white space after the value of a body. */
export function assertEnd(bytes: Buffer, at: number): void {
  new JsonCursor(bytes, at).end();
}
