export { exitCodes } from './exit-codes.ts';
export type { Surroundings } from './run.ts';
export { runCli } from './run.ts';
