import Type from 'typebox';
import { Name, Timestamp, Uuid } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

/** Checks that an alarm names; the strongest first. */
const CHECKS_MAX = 20;

const window = {
  modelVersionId: Uuid,
  model: Name,
  version: Type.String(),
  /** The reference that the window was compared with, and the SHA-256 of its text. */
  referenceId: Uuid,
  referenceDigest: Type.String(),
  /** Of the last window; the end is not in it. */
  startTime: Timestamp,
  endTime: Timestamp,
  predictions: Type.Integer({ minimum: 0 }),
};

export const DriftDetected = defineEvent({
  name: 'drift.detected',
  doc: 'Successive windows of predictions drifted from the reference of their model version.',
  data: Type.Object({
    ...window,
    driftedFeatures: Type.Integer({ minimum: 1 }),
    checks: Type.Array(
      Type.Object({
        feature: Type.String(),
        check: Type.String(),
        statistic: Type.String(),
        value: Type.Number(),
        criticalValue: Type.Number(),
        adjustedPValue: Type.Number(),
        effect: Type.Number(),
        floor: Type.Number(),
        referenceSize: Type.Integer(),
        currentSize: Type.Integer(),
      }),
      { minItems: 1, maxItems: CHECKS_MAX },
    ),
  }),
});

export const DriftCleared = defineEvent({
  name: 'drift.cleared',
  doc: 'Windows after an alarm of drift were stable again.',
  data: Type.Object(window),
});
