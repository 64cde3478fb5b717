import type { PolicySpec } from '@millrace/contracts';
import { JsonObject, Policy, Sha256, Uuid } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import { wholePolicy } from '../governance/policy.ts';
import type { ChangeEntry } from './change-log.table.ts';
import type { PastFact } from './state.repository.ts';

/** What an entry made so, and since when. */
const Since = { since: Type.String(), by: Type.String(), seq: Type.Integer() };

/** What was so with a model at some time. */
export const PastState = Type.Object({
  versions: Type.Array(
    Type.Object({ version: Type.String(), modelVersionId: Uuid, stage: Type.String(), ...Since }),
  ),
  aliases: Type.Array(
    Type.Object({ alias: Type.String(), version: Type.String(), modelVersionId: Uuid, ...Since }),
  ),
  approvals: Type.Array(
    Type.Object({
      packageDigest: Sha256,
      stage: Type.String(),
      principal: Type.String(),
      comment: Type.String(),
      ...Since,
    }),
  ),
  allowed: Type.Array(Type.Object({ stage: Type.String(), digest: Sha256, ...Since })),
  policy: Type.Object({
    policy: Policy,
    source: Type.Union([Type.Literal('model'), Type.Literal('tenant'), Type.Literal('none')]),
    since: Type.Union([Type.String(), Type.Null()]),
  }),
  rollout: Type.Union([JsonObject, Type.Null()]),
});
export type PastState = Static<typeof PastState>;

const since = ({ at, by, seq }: ChangeEntry) => ({ since: at, by, seq });
const text = (entry: ChangeEntry, name: string): string => String(entry[name] ?? '');

/** Puts together what the facts of a model, and those of its tenant, say. */
export function stateOf(facts: readonly PastFact[], ofTenant: readonly PastFact[]): PastState {
  const of = (kind: PastFact['kind'], from = facts): ChangeEntry[] =>
    from.filter((fact) => fact.kind === kind).map(({ entry }) => entry);
  const [own] = of('policy');
  const [shared] = of('policy', ofTenant);
  const inForce = own ?? shared;
  return {
    versions: of('stage').map((entry) => ({
      version: text(entry, 'version'),
      modelVersionId: text(entry, 'modelVersionId'),
      stage: text(entry, entry.action === 'registered' ? 'stage' : 'to'),
      ...since(entry),
    })),
    aliases: of('alias').map((entry) => ({
      alias: text(entry, 'alias'),
      version: text(entry, 'version'),
      modelVersionId: text(entry, 'modelVersionId'),
      ...since(entry),
    })),
    approvals: of('approval').map((entry) => ({
      packageDigest: text(entry, 'packageDigest'),
      stage: text(entry, 'stage'),
      principal: text(entry, 'principal'),
      comment: text(entry, 'comment'),
      ...since(entry),
    })),
    allowed: [...of('allowed'), ...of('allowed', ofTenant)].map((entry) => ({
      stage: text(entry, 'stage'),
      digest: text(entry, 'digest'),
      ...since(entry),
    })),
    policy: {
      policy: wholePolicy(inForce?.policy as PolicySpec | undefined),
      source: own !== undefined ? 'model' : shared !== undefined ? 'tenant' : 'none',
      since: inForce?.at ?? null,
    },
    rollout: (of('rollout')[0]?.spec as Record<string, unknown> | undefined) ?? null,
  };
}
