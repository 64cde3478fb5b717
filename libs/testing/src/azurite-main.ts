import { once } from 'node:events';
import { startAzurite } from './azurite.ts';

// For tests in Python: prints the connection string as JSON and ends with its stdin.
const azurite = await startAzurite();
process.stdout.write(`${JSON.stringify({ connectionString: azurite.connectionString })}\n`);
process.stdin.resume();
await once(process.stdin, 'end');
await azurite.stop();
process.exit(0);
