import Type from 'typebox';
import { Timestamp, Uuid } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

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
