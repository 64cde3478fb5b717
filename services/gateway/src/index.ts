export { buildApp } from './app.ts';
export { GatewayConfig } from './config.ts';
