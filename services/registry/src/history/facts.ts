import type { NewChange } from './change-log.table.ts';

/** Kinds of what can hold over a time. */
export type FactKind = 'stage' | 'alias' | 'approval' | 'allowed' | 'policy' | 'rollout';

/** What a change makes so from then on; a value of null ends what was so before. */
export type Fact = { readonly kind: FactKind; readonly key: string; readonly value: string | null };

/** The key of an approval: who approved which bytes for which stage. */
export const approvalKey = (packageDigest: string, stage: string, principal: string): string =>
  `${packageDigest} ${stage} ${principal}`;

/** What an entry of a history makes so; nothing for changes of words such as tags. */
export function factsOf(entry: NewChange): Fact[] {
  const text = (name: string): string => String(entry[name]);
  const one = (kind: FactKind, key: string, value: string | null): Fact[] => [{ kind, key, value }];
  switch (entry.action) {
    case 'registered':
      return one('stage', text('modelVersionId'), text('stage'));
    case 'stage-changed':
      return one('stage', text('modelVersionId'), text('to'));
    case 'withdrawn':
    case 'version-deleted':
      return one('stage', text('modelVersionId'), null);
    case 'alias-set':
      return one('alias', text('alias'), text('modelVersionId'));
    case 'alias-removed':
      return one('alias', text('alias'), null);
    case 'approved':
    case 'approval-revoked': {
      const key = approvalKey(text('packageDigest'), text('stage'), text('principal'));
      return one('approval', key, entry.action === 'approved' ? 'given' : null);
    }
    case 'digest-allowed':
    case 'digest-disallowed':
      return one(
        'allowed',
        `${text('stage')} ${text('digest')}`,
        entry.action === 'digest-allowed' ? 'allowed' : null,
      );
    case 'policy-set':
      return one('policy', '', 'set');
    case 'policy-removed':
    case 'model-deleted':
      return one('policy', '', null);
    case 'rollout-set':
    case 'rollout-rolled-back':
      return one('rollout', '', 'set');
    case 'rollout-deleted':
      return one('rollout', '', null);
    case 'model-created':
    case 'model-updated':
    case 'model-renamed':
    case 'version-updated':
      return [];
  }
}
