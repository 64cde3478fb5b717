export { bytea } from './columns.ts';
export type { Database, DatabaseOptions, Executor } from './database.ts';
export { createDatabase } from './database.ts';
export { sqlState, toDatabaseError } from './errors.ts';
export { lockName } from './locks.ts';
export { advisoryKey, migrate } from './migrate.ts';
export { behind, type ListPlace, newestFirst } from './newest-first.ts';
