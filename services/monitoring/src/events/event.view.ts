import Type from 'typebox';
import type { StoredEvent } from './event.repository.ts';
import { tensorsAsJson } from './tensor-json.ts';

const NullableText = Type.Union([Type.String(), Type.Null()]);

/** A prediction as `GET /monitoring/events` gives it. */
export const Event = Type.Object({
  id: Type.String(),
  timestamp: Type.Integer(),
  modelId: Type.String(),
  modelVersion: Type.String(),
  framework: Type.String(),
  featuresIn: Type.String({ description: 'JSON.' }),
  prediction: Type.String({ description: 'JSON.' }),
  confidence: Type.Union([Type.Number(), Type.Null()]),
  latencyMs: Type.Number(),
  correct: Type.Union([Type.Boolean(), Type.Null()]),
});

/** A prediction with all that is known of it. */
export const DetailedEvent = Type.Object({
  ...Event.properties,
  stage: Type.String({ description: 'Of the version, when the prediction was made; else `unknown`.' }),
  userId: NullableText,
  sessionId: NullableText,
  outcome: Type.Unknown({ description: 'Of the newest feedback; null without.' }),
});

export function toEvent(row: StoredEvent) {
  return {
    id: row.id,
    timestamp: row.at.getTime(),
    modelId: row.model,
    modelVersion: row.version,
    framework: row.framework,
    featuresIn: tensorsAsJson(row.inputs),
    prediction: tensorsAsJson(row.outputs),
    confidence: row.confidence,
    latencyMs: row.latencyMs,
    correct: row.correct,
  };
}

export function toDetailedEvent(row: StoredEvent) {
  const { stage, userId, sessionId, outcome } = row;
  return { ...toEvent(row), stage, userId, sessionId, outcome };
}
