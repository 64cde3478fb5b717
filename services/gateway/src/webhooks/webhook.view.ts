import { Timestamp } from '@millrace/contracts';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { DeliveryRow, WebhookRow } from './webhook.table.ts';

const Instant = Type.Union([Timestamp, Type.Null()]);

export const WebhookView = Type.Object({
  id: Type.String(),
  tenant: Type.String(),
  url: Type.String(),
  types: Type.Array(Type.String()),
  note: Type.String(),
  secrets: Type.Array(Type.Object({ createdAt: Timestamp, expiresAt: Instant }), {
    description: 'Secrets that sign; the text of none of them.',
  }),
  createdAt: Timestamp,
  createdBy: Type.String(),
  disabledAt: Instant,
  disabledReason: Type.Union([Type.String(), Type.Null()]),
  failingSince: Instant,
});

export const AttemptView = Type.Object({
  at: Timestamp,
  status: Type.Union([Type.Integer(), Type.Null()]),
  latencyMs: Type.Number(),
  error: Type.Union([Type.String(), Type.Null()]),
  answer: Type.String({ description: 'Beginning of what the receiver answered.' }),
});

export const DeliveryView = Type.Object({
  eventId: Type.String(),
  type: Type.String(),
  state: Type.Enum(['waiting', 'delivered', 'failed']),
  attempts: Type.Integer(),
  createdAt: Timestamp,
  nextAt: Instant,
  endedAt: Instant,
  lastAttempt: Type.Union([AttemptView, Type.Null()]),
});

export const DeliveryDetail = Type.Object({
  ...DeliveryView.properties,
  log: Type.Array(AttemptView),
  payload: Type.String({ description: 'The very text that is sent.' }),
});

export function toWebhook(row: WebhookRow): Static<typeof WebhookView> {
  const { id, tenant, url, types, note, createdBy, disabledReason } = row;
  const now = Date.now();
  return {
    id,
    tenant,
    url,
    types,
    note,
    secrets: row.secrets
      .filter(({ expiresAt }) => expiresAt === null || Date.parse(expiresAt) > now)
      .map(({ createdAt, expiresAt }) => ({ createdAt, expiresAt })),
    createdAt: row.createdAt.toISOString(),
    createdBy,
    disabledAt: row.disabledAt?.toISOString() ?? null,
    disabledReason: row.disabledAt === null ? null : disabledReason,
    failingSince: row.failingSince?.toISOString() ?? null,
  };
}

export function toDelivery(row: DeliveryRow): Static<typeof DeliveryView> {
  const { eventId, type, state, attempts, log } = row;
  return {
    eventId,
    type,
    state,
    attempts,
    createdAt: row.createdAt.toISOString(),
    nextAt: state === 'waiting' ? row.nextAt.toISOString() : null,
    endedAt: row.endedAt?.toISOString() ?? null,
    lastAttempt: log.at(-1) ?? null,
  };
}

export function toDetail(row: DeliveryRow): Static<typeof DeliveryDetail> {
  return { ...toDelivery(row), log: row.log, payload: row.payload.toString('utf8') };
}
