import { isDeepStrictEqual } from 'node:util';
import type { Json } from './chart.ts';

/** One operation of RFC 6902. */
export type PatchOperation = { op: 'add' | 'remove' | 'replace'; path: string; value?: Json };

const pointer = (path: string, name: string | number): string =>
  `${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** Operations that make `after` of `before`; lists keep what they share, in its order. */
export function patchOf(before: Json, after: Json, path = ''): PatchOperation[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) return listPatch(before, after, path);
  if (isRecord(before) && isRecord(after)) return recordPatch(before, after, path);
  return [{ op: 'replace', path, value: after }];
}

function isRecord(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function recordPatch(
  before: { [name: string]: Json },
  after: { [name: string]: Json },
  path: string,
): PatchOperation[] {
  const removed = Object.keys(before)
    .filter((name) => !(name in after))
    .map((name): PatchOperation => ({ op: 'remove', path: pointer(path, name) }));
  const rest = Object.entries(after).flatMap(([name, value]): PatchOperation[] => {
    const old = before[name];
    if (old === undefined) return [{ op: 'add', path: pointer(path, name), value }];
    return patchOf(old, value, pointer(path, name));
  });
  return [...removed, ...rest];
}

/** Elements that were put in become `add`s; a list that lost or exchanged elements of another length is replaced. */
function listPatch(before: Json[], after: Json[], path: string): PatchOperation[] {
  if (before.length === after.length)
    return after.flatMap((value, i) => patchOf(before[i] ?? null, value, pointer(path, i)));
  const added: PatchOperation[] = [];
  let kept = 0;
  for (const [i, value] of after.entries()) {
    if (kept < before.length && isDeepStrictEqual(before[kept], value)) kept += 1;
    else added.push({ op: 'add', path: pointer(path, i), value });
  }
  return kept === before.length ? added : [{ op: 'replace', path, value: after }];
}
