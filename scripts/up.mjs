import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Before the first TypeScript file is loaded: a launcher that runs for days should not keep the compiler in memory.
enableCompileCache(fileURLToPath(new URL('../.millrace/cache/node', import.meta.url)));
await import('./up.ts');
