/**
 * Bodies are copied out of the socket in pieces that live for a moment. With V8's usual 16 MB of young space hundreds
 * of megabytes of them pile up before they are freed; 1 MB keeps them in the processor's cache: measured on 1.6 MB
 * bodies, 5.2 instead of 8.5 ms of processor time a request and 200 instead of 370 MB resident. The flag only works at
 * the start of a process, so the process is replaced by itself with it (same pid, same streams). Fronts get it from
 * their supervisor.
 */
const FLAG = '--max-semi-space-size=1';

if (!process.execArgv.includes(FLAG) && process.execve !== undefined) {
  const args = [process.execPath, ...process.execArgv, FLAG, ...process.argv.slice(1)];
  process.execve(process.execPath, args, process.env);
}
const { forkFirstFront } = await import('./fronts/front-process.ts');
const firstFront = forkFirstFront(process.env.MILLRACE_FRONTS);
const { runService } = await import('@millrace/service-kit');
const { startInference } = await import('./start.ts');
await runService({ name: 'inference', start: () => startInference(process.env, firstFront) });
