import Type from 'typebox';
import { Name, Uuid } from '../primitives.ts';
import { RolloutSpec } from '../rollouts/rollout.ts';
import { defineEvent } from './define-event.ts';

const rollout = {
  modelId: Uuid,
  model: Name,
  revision: Type.Integer({ minimum: 1 }),
  by: Type.String(),
};

export const RolloutChanged = defineEvent({
  name: 'rollout.changed',
  doc: 'A rollout was made or replaced.',
  data: Type.Object({ ...rollout, spec: RolloutSpec }),
});

export const RolloutDeleted = defineEvent({
  name: 'rollout.deleted',
  doc: 'A rollout was removed: the version that serves by default answers again.',
  data: Type.Object(rollout),
});

export const RolloutRolledBack = defineEvent({
  name: 'rollout.rolled-back',
  doc: 'A canary broke its bounds: its weight went to the baseline in a new revision.',
  data: Type.Object({
    ...rollout,
    spec: RolloutSpec,
    version: Type.String(),
    baseline: Type.String(),
    reason: Type.String(),
  }),
});
