import Type from 'typebox';
import { FeatureViewName } from '../features/feature-view.ts';
import { Uuid } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

const view = {
  viewId: Uuid,
  name: FeatureViewName,
  revision: Type.Integer({ minimum: 1 }),
  /** Who did it. */
  by: Type.String(),
};

export const FeatureViewChanged = defineEvent({
  name: 'feature-view.changed',
  doc: 'A feature view was made or its definition changed; the revision counts from 1.',
  data: Type.Object(view),
});

export const FeatureViewDeleted = defineEvent({
  name: 'feature-view.deleted',
  doc: 'A feature view was deleted; its values are removed soon.',
  data: Type.Object(view),
});
