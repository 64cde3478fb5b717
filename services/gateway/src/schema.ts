import { createBusTables } from '@millrace/bus/tables';
import { gatewaySchema } from './tenants/tenant.table.ts';

/** Tables of the bus, exported one by one as well so that drizzle-kit sees them. */
export const busTables = createBusTables(gatewaySchema);
export const { outbox, aggregateVersions, inbox } = busTables;

export { auditHeads, auditLog, usageHours } from './audit/audit.table.ts';
export { apiKeys } from './keys/key.table.ts';
export { principals } from './principals/principal.table.ts';
export { gatewaySchema, tenants } from './tenants/tenant.table.ts';
export { webhookDeliveries, webhooks } from './webhooks/webhook.table.ts';
