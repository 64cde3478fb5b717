import { isDeepStrictEqual } from 'node:util';
import type { Outbox } from '@millrace/bus';
import type { FeatureViewChange, FeatureViewSpec } from '@millrace/contracts';
import { AppError, FeatureViewChanged, FeatureViewDeleted, newId } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { lockName } from '@millrace/database';
import type { FeatureViewRepository } from './feature-view.repository.ts';
import type { FeatureViewRow } from './feature-view.table.ts';
import { assertEntity, assertFeatures, assertViewName } from './view-check.ts';

/** Views of one tenant. */
const FEATURE_VIEWS_MAX = 1_000;

/** Who changes something, and whose it is. */
export type FeatureCaller = { readonly tenant: string; readonly id: string };

/** The entity tag of a revision. */
export const etagOf = ({ revision }: Pick<FeatureViewRow, 'revision'>): string => `"${revision}"`;

/** The refusal of a view that is not there. */
export function viewNotFound(name: string): AppError {
  return new AppError('feature_view_not_found', `There is no feature view ${JSON.stringify(name)}.`);
}

function assertMatch(view: FeatureViewRow, ifMatch: string | undefined): void {
  if (ifMatch === undefined)
    throw new AppError(
      'precondition_required',
      `Send If-Match: ${etagOf(view)} if that revision of the view is what you have read.`,
    );
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (tags.includes('*') || tags.includes(etagOf(view))) return;
  throw new AppError(
    'precondition_failed',
    `The view is at revision ${view.revision} now; read it again and decide anew.`,
  );
}

/** The columns that a definition gives. */
function columnsOf(spec: FeatureViewSpec) {
  return {
    name: spec.name,
    description: spec.description ?? '',
    owner: spec.owner ?? '',
    entity: spec.entity.name,
    keyType: spec.entity.keyType,
    features: spec.features,
    ttlSeconds: spec.ttlSeconds ?? null,
  };
}

const isSame = (row: FeatureViewRow, columns: object): boolean =>
  Object.entries(columns).every(([key, value]) => isDeepStrictEqual(row[key as keyof FeatureViewRow], value));

export type FeatureViewService = ReturnType<typeof createFeatureViewService>;

/** The rules of feature views. `onChange` is called after a change of a view is committed. */
export function createFeatureViewService(options: {
  database: Database;
  views: FeatureViewRepository;
  outbox: Outbox;
  onChange: () => void;
}) {
  const { database, views, outbox, onChange } = options;
  const about = ({ id, name, revision }: FeatureViewRow, by: string) => ({
    viewId: id,
    name,
    revision,
    by,
  });

  return {
    /** @throws AppError `feature_view_not_found` */
    async get(tenant: string, name: string): Promise<FeatureViewRow> {
      const view = await views.find(database.db, tenant, name);
      if (view === undefined) throw viewNotFound(name);
      return view;
    },

    /**
     * Makes a view; the same again is the one there is.
     * @throws AppError `feature_view_exists`, `invalid_feature_view`, `quota_reached`
     */
    async create(
      { tenant, id: by }: FeatureCaller,
      spec: FeatureViewSpec,
    ): Promise<{ view: FeatureViewRow; isNew: boolean }> {
      assertViewName(spec.name);
      assertFeatures('features', spec.features);
      const columns = columnsOf(spec);
      const made = await database.transaction(async (tx) => {
        await lockName(tx, `feature-views:${tenant}`);
        const existing = await views.find(tx, tenant, spec.name);
        if (existing !== undefined) {
          if (isSame(existing, columns)) return { view: existing, isNew: false };
          throw new AppError(
            'feature_view_exists',
            `The view ${spec.name} is there with another definition; change it with PATCH or choose another name.`,
          );
        }
        if ((await views.countOf(tx, tenant)) >= FEATURE_VIEWS_MAX)
          throw new AppError('quota_reached', `A tenant has at most ${FEATURE_VIEWS_MAX} feature views.`);
        const [other] = await views.list(tx, tenant, { limit: 1, entity: spec.entity.name });
        assertEntity(spec.entity, other);
        const view = await views.insert(tx, { id: newId(), tenant, ...columns, updatedBy: by });
        await outbox.append(tx, FeatureViewChanged, view.id, about(view, by), { tenant });
        return { view, isNew: true };
      });
      if (made.isNew) onChange();
      return made;
    },

    /**
     * Changes what may change; a change of nothing leaves the revision.
     * @throws AppError `feature_view_not_found`, `precondition_required`, `precondition_failed`, `invalid_feature_view`
     */
    async update(
      { tenant, id: by }: FeatureCaller,
      name: string,
      { addFeatures = [], ...change }: FeatureViewChange,
      ifMatch: string | undefined,
    ): Promise<FeatureViewRow> {
      const view = await database.transaction(async (tx) => {
        const before = await views.findLocked(tx, tenant, name);
        if (before === undefined) throw viewNotFound(name);
        assertMatch(before, ifMatch);
        assertFeatures('addFeatures', addFeatures, before.features);
        const { description, owner, ttlSeconds } = { ...before, ...change };
        const columns = { description, owner, ttlSeconds, features: [...before.features, ...addFeatures] };
        if (isSame(before, columns)) return before;
        const after = await views.update(tx, before.id, { ...columns, updatedBy: by });
        await outbox.append(tx, FeatureViewChanged, after.id, about(after, by), { tenant });
        return after;
      });
      onChange();
      return view;
    },

    /**
     * Deletes a view; its rows go a little later.
     * @throws AppError `feature_view_not_found`, `precondition_required`, `precondition_failed`
     */
    async remove(
      { tenant, id: by }: FeatureCaller,
      name: string,
      ifMatch: string | undefined,
    ): Promise<void> {
      await database.transaction(async (tx) => {
        const before = await views.findLocked(tx, tenant, name);
        if (before === undefined) throw viewNotFound(name);
        assertMatch(before, ifMatch);
        await views.markDeleted(tx, before.id, by);
        const after = { ...before, revision: before.revision + 1 };
        await outbox.append(tx, FeatureViewDeleted, before.id, about(after, by), { tenant });
      });
      onChange();
    },
  };
}
