import Type from 'typebox';
import { JsonObject, Timestamp } from '../primitives.ts';
import { defineEvent } from './define-event.ts';

/** Who made the change: a principal, or `launcher`. */
const By = Type.String();
const key = { keyId: Type.String(), principal: Type.String(), tenant: Type.String(), by: By };
const principal = {
  principal: Type.String(),
  tenant: Type.String(),
  /** Null: its keys say for themselves what they may do. */
  roles: Type.Union([Type.Array(Type.String()), Type.Null()]),
  disabled: Type.Boolean(),
  by: By,
};
const tenant = { tenant: Type.String(), limits: JsonObject, disabled: Type.Boolean(), by: By };

export const ApiKeyCreated = defineEvent({
  name: 'api-key.created',
  doc: 'An API key was made; the fact names it and never holds its secret.',
  data: Type.Object({
    ...key,
    scopes: Type.Array(Type.String()),
    roles: Type.Array(Type.String()),
    expiresAt: Type.Union([Timestamp, Type.Null()]),
  }),
});
export const ApiKeyRevoked = defineEvent({
  name: 'api-key.revoked',
  doc: 'An API key was taken out of use for good.',
  data: Type.Object(key),
});
export const PrincipalCreated = defineEvent({
  name: 'principal.created',
  doc: 'A principal was made, by itself or with its first key.',
  data: Type.Object(principal),
});
export const PrincipalChanged = defineEvent({
  name: 'principal.changed',
  doc: 'Roles or note of a principal were changed, or it was disabled or enabled; it has these now.',
  data: Type.Object(principal),
});
export const TenantCreated = defineEvent({
  name: 'tenant.created',
  doc: 'A tenant was made; a fact of the tenant of who made it.',
  data: Type.Object(tenant),
});
export const TenantChanged = defineEvent({
  name: 'tenant.changed',
  doc: 'Bounds or note of a tenant were changed, or it was disabled or enabled; it has these now.',
  data: Type.Object(tenant),
});
