import { checkMachine, continueOnNode24, ensureNodeModules } from './lib/prepare.mjs';

checkMachine();
ensureNodeModules();
continueOnNode24('test.ts', process.argv.slice(2));
