import Type from 'typebox';
import type { LifecycleStage } from './experiment.table.ts';

const BY_NUMBER = ['ACTIVE_ONLY', 'DELETED_ONLY', 'ALL'] as const;
export type ViewType = (typeof BY_NUMBER)[number];

/** Which stages a search shows: by name, or by the number of the name as older clients send it. */
export const ViewTypeField = Type.Union([
  Type.Literal('ACTIVE_ONLY'),
  Type.Literal('DELETED_ONLY'),
  Type.Literal('ALL'),
  Type.Integer({ minimum: 1, maximum: 3 }),
]);

export function viewTypeOf(field: ViewType | number | undefined): ViewType {
  return typeof field === 'number' ? (BY_NUMBER[field - 1] ?? 'ACTIVE_ONLY') : (field ?? 'ACTIVE_ONLY');
}

export function stagesOf(view: ViewType): LifecycleStage[] {
  if (view === 'ALL') return ['active', 'deleted'];
  return view === 'ACTIVE_ONLY' ? ['active'] : ['deleted'];
}
