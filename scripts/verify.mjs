import { checkMachine, continueOnNode24, ensureNodeModules } from './lib/prepare.mjs';

checkMachine();
ensureNodeModules();
continueOnNode24('verify.ts', process.argv.slice(2));
