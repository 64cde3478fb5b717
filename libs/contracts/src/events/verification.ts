import type { Static } from 'typebox';
import Type from 'typebox';
import { Name, Uuid, WireError } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

const Where = Type.Union([Type.Literal('registry'), Type.Literal('inference')]);

export const ModelVersionVerificationFailed = defineEvent({
  name: 'model-version.verification-failed',
  doc: 'Bytes, manifest or signature of a model version were not what was signed; they were not used.',
  data: Type.Object({
    modelVersionId: Uuid,
    modelId: Uuid,
    model: Name,
    version: Type.String(),
    ordinal: Type.Integer({ minimum: 1 }),
    where: Where,
    error: WireError,
  }),
});

/** What inference says to the registry, which keeps the facts, when it refuses a version (core NATS, a hint). */
export const VerificationRefusal = Type.Object({ modelVersionId: Uuid, error: WireError });
export type VerificationRefusal = Static<typeof VerificationRefusal>;

/** Where refusals are sent. */
export const VERIFICATION_REFUSED_SUBJECT = 'millrace.ctl.verification.refused';
