import Type from 'typebox';
import { Timestamp, Uuid } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

const webhook = {
  webhookId: Uuid,
  tenant: Type.String(),
  /** Of its address, whose path and query may hold a secret. */
  origin: Type.String(),
  types: Type.Array(Type.String()),
  disabled: Type.Boolean(),
  /** The principal that made the change. */
  by: Type.String(),
};
const Change = Type.Union([
  Type.Literal('url'),
  Type.Literal('types'),
  Type.Literal('note'),
  Type.Literal('enabled'),
  Type.Literal('secret'),
]);

export const WebhookCreated = defineEvent({
  name: 'webhook.created',
  doc: 'A webhook was made; the fact never holds its secret, nor more of its address than the origin.',
  data: Type.Object(webhook),
});
export const WebhookChanged = defineEvent({
  name: 'webhook.changed',
  doc: 'What is named in `changes` is different now; the other fields say how the webhook is since.',
  data: Type.Object({ ...webhook, changes: Type.Array(Change) }),
});
export const WebhookDeleted = defineEvent({
  name: 'webhook.deleted',
  doc: 'A webhook was deleted with its deliveries; this is how it was.',
  data: Type.Object(webhook),
});
export const WebhookDisabled = defineEvent({
  name: 'webhook.disabled',
  doc: 'A webhook failed for so long, or its receiver said that it is gone, that nothing is sent to it any more.',
  data: Type.Object({
    webhookId: Uuid,
    tenant: Type.String(),
    reason: Type.String(),
    failingSince: Type.Union([Timestamp, Type.Null()]),
  }),
});
