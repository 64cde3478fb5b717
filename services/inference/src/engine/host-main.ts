import { isAppError } from '@millrace/contracts/errors';
import { digestIfLarge } from '../telemetry/tensor-summary.ts';
import { keepCompiledCode } from './compiled-code.ts';
import type { HostReply, HostRequest, LoadReply, MeasureReply, RunReply } from './host-protocol.ts';
import { machineMs, putTensors, takeTensors } from './host-protocol.ts';
import { measure } from './measure.ts';
import type { GraphFile, RuntimeSession, SessionOptions } from './runtime-session.ts';
import { openSession } from './runtime-session.ts';
import { slotOn } from './slot-file.ts';

/**
 * A model host: a process with one model. It can be killed at any time, and its memory goes back to the machine with
 * it. Slots are the file descriptors from 4 on, opened by the parent.
 */
const FIRST_SLOT_FD = 4;

let session: RuntimeSession | undefined;
/** Input memory is used again for the next run: the runtime has read it when `run` resolves. */
let scratch: Uint8Array<ArrayBuffer>[] = [];
const SCRATCH_KEEP_BYTES = 16 * 1024 * 1024;

function reuse(): (bytes: number) => Uint8Array<ArrayBuffer> {
  let next = 0;
  return (bytes) => {
    const index = next++;
    const held = scratch[index];
    if (held !== undefined && held.byteLength >= bytes) return held.subarray(0, bytes);
    const fresh = new Uint8Array(bytes);
    if (bytes <= SCRATCH_KEEP_BYTES) scratch[index] = fresh;
    return fresh;
  };
}

/** Only a host of a TF.js model reads that runtime into memory. */
async function open(graph: GraphFile, options: SessionOptions): Promise<RuntimeSession> {
  if (graph.weights === undefined) return openSession(graph, options);
  const { openTfjsSession } = await import('./tfjs/tfjs-session.ts');
  return openTfjsSession({ ...graph, weights: graph.weights }, options);
}

async function load(request: HostRequest & { type: 'load' }): Promise<LoadReply> {
  const start = performance.now();
  session = await open(request.graph, request.options);
  const { signature, isUnbounded } = session;
  return { signature, loadMs: performance.now() - start, isUnbounded };
}

async function run(request: HostRequest & { type: 'run' }, loaded: RuntimeSession): Promise<RunReply> {
  const slot = slotOn(FIRST_SLOT_FD + request.slot);
  const inputs = takeTensors(slot, request.inputs, reuse());
  const startedAtMachineMs = machineMs();
  const outputs = await loaded.run(inputs, request.outputs);
  const computeMs = machineMs() - startedAtMachineMs;
  return {
    outputs: putTensors(slot, outputs),
    inputDigests: inputs.map(digestIfLarge),
    computeMs,
    startedAtMachineMs,
    residentBytes: process.memoryUsage.rss(),
  };
}

async function handle(request: HostRequest): Promise<LoadReply | RunReply | MeasureReply | null> {
  if (request.type === 'load') return load(request);
  if (session === undefined) throw new Error('The host has no model.');
  if (request.type === 'run') return run(request, session);
  if (request.type === 'measure') return measure(session, () => process.memoryUsage.rss(), request.limits);
  await session.close();
  session = undefined;
  scratch = [];
  return null;
}

function send(reply: HostReply): void {
  // an answer to a parent that is gone fails; 'disconnect' ends this process
  process.send?.(reply, undefined, undefined, () => undefined);
}

let turn: Promise<void> = Promise.resolve();
process.on('message', (request: HostRequest) => {
  // one at a time, in order: the runtime blocks this thread anyway
  turn = turn.then(async () => {
    try {
      send({ id: request.id, ok: true, result: await handle(request) });
    } catch (error) {
      const code = isAppError(error) ? error.code : 'inference_failed';
      send({
        id: request.id,
        ok: false,
        code,
        message: error instanceof Error ? error.message : String(error),
      });
    }
  });
});
// the parent is gone: nobody will ask again
process.on('disconnect', () => process.exit(0));
// a Ctrl-C reaches the whole group; the parent decides when hosts end
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
send({ type: 'ready', residentBytes: process.memoryUsage.rss() });
keepCompiledCode();
