import { checkMachine, continueOnNode24, ensureNodeModules } from './lib/prepare.mjs';

checkMachine();
ensureNodeModules();
continueOnNode24('demo.ts', process.argv.slice(2));
