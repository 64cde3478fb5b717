export { apiKeys, gatewaySchema, principals, tenants } from './keys/key.table.ts';
