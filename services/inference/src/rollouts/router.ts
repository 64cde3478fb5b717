import { hash } from 'node:crypto';
import type { RolloutPlan, RolloutRule, RolloutSticky } from '@millrace/contracts';
import { ROLLOUT_BUCKETS } from '@millrace/contracts';

/** Digits of the hash that are used: 48 bits, exact as a number. */
const HASH_DIGITS = 12;

/** Who asks, as far as a rollout looks at it. */
export type Caller = {
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  readonly userId?: string | undefined;
  readonly sessionId?: string | undefined;
};

/** What decided about a request. */
export type RouteBy = 'rule' | 'sticky' | 'chance' | 'default';

/** Divides the requests of one model; `version` is undefined for the version that serves by default. */
export type Router = {
  route(caller: Caller): { version: string | undefined; by: RouteBy };
  /** The version that answers most requests. */
  readonly main: string | undefined;
};

/** The bucket of a key; the salt, which is the model's id, keeps callers from being together in every model. */
export function bucketOf(salt: string, key: string): number {
  const digits = hash('sha256', `${salt}\n${key}`).slice(0, HASH_DIGITS);
  return Number.parseInt(digits, 16) % ROLLOUT_BUCKETS;
}

function headerOf({ headers }: Caller, name: string): string | undefined {
  const value = headers?.[name];
  return Array.isArray(value) ? value[0] : value;
}

function keyOf(caller: Caller, { by, header }: RolloutSticky): string | undefined {
  if (by === 'header') return headerOf(caller, header as string);
  return caller[by];
}

function fits(caller: Caller, { header, equals, prefix }: RolloutRule): boolean {
  const value = headerOf(caller, header);
  if (value === undefined) return false;
  return equals === undefined ? value.startsWith(prefix as string) : value === equals;
}

/** Version of each bucket, and the version with most of them. */
function tableOf({ buckets }: RolloutPlan): { owners: string[]; main: string } | undefined {
  if (buckets === undefined) return undefined;
  const owners: string[] = [];
  const counts = new Map<string, number>();
  for (const { below, version } of buckets) {
    counts.set(version, (counts.get(version) ?? 0) + below - owners.length);
    while (owners.length < below) owners.push(version);
  }
  const [[main]] = [...counts].sort(([, a], [, b]) => b - a) as [[string, number]];
  return { owners, main };
}

/** Rules come first, then the caller's bucket, then chance. */
export function createRouter(plan: RolloutPlan, salt: string): Router {
  const { rules = [], sticky } = plan;
  const table = tableOf(plan);
  return {
    main: table?.main,
    route(caller) {
      for (const rule of rules) if (fits(caller, rule)) return { version: rule.version, by: 'rule' };
      if (table === undefined) return { version: undefined, by: 'default' };
      const key = sticky === undefined ? undefined : keyOf(caller, sticky);
      const bucket = key === undefined ? Math.floor(Math.random() * ROLLOUT_BUCKETS) : bucketOf(salt, key);
      return { version: table.owners[bucket], by: key === undefined ? 'chance' : 'sticky' };
    },
  };
}
