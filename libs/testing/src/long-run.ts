const VARIABLE = 'MILLRACE_TEST_LONG';

/** Whether tests that have a full length run at it: `npm run verify:full` does, `npm test` does not. */
export const isLongRun = process.env[VARIABLE] === '1';
