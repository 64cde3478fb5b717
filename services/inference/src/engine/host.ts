import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { AppError, appErrorFrom } from '@millrace/contracts';
import type { Tensor } from '../tensors/tensor.ts';
import { tensorBytes } from '../tensors/tensor.ts';
import type {
  HostReply,
  HostRequest,
  JoinLimits,
  LoadReply,
  Measurement,
  RunReply,
} from './host-protocol.ts';
import { machineMs, putTensors, takeTensors } from './host-protocol.ts';
import type { GraphFile, SessionOptions } from './runtime-session.ts';
import type { Slot } from './slot-file.ts';
import { createSlot } from './slot-file.ts';

const HOST_MAIN = fileURLToPath(new URL('./host-main.ts', import.meta.url));
/** A host has two slots: one run is prepared while the other is computed. */
export const SLOTS_PER_HOST = 2;
const SLOT_SHRINK_BYTES = 16 * 1024 * 1024;
/** How often the memory of a host at work is looked at (ms). */
const MEMORY_WATCH_MS = 20;
const RESIDENT = /^VmRSS:\s+(\d+) kB$/m;

/** Memory of a process; 0 when it is gone. */
export function residentBytesOf(pid: number): number {
  try {
    return Number(RESIDENT.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** `Omit` that keeps the members of a union apart. */
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
type Pending = { resolve(value: unknown): void; reject(error: Error): void; timer: NodeJS.Timeout };

/** Outputs of a run, when it began (`performance.now()`), how long it took (ms) and the host's memory (bytes). */
export type HostRun = Omit<RunReply, 'outputs' | 'startedAtMachineMs'> & {
  outputs: Tensor[];
  startedAt: number;
};

/** From `performance.now()` of this process to the machine's clock (ms). */
const MACHINE_OFFSET_MS = machineMs() - performance.now();

/** The parent's side of a model host. */
export type Host = {
  readonly pid: number;
  /** Memory of the process before it had a model (bytes). */
  readonly emptyBytes: number;
  /** Runs that can be given to it now. */
  freeSlots(): number;
  isAlive(): boolean;
  load(graph: GraphFile, options: SessionOptions, timeoutMs: number): Promise<LoadReply>;
  measure(timeoutMs: number, limits: JoinLimits): Promise<Measurement>;
  /** Throws `model_crashed` when the process ends meanwhile, `deadline_exceeded` when it had to be killed. */
  run(inputs: readonly Tensor[], outputs: readonly string[] | undefined, timeoutMs: number): Promise<HostRun>;
  unload(timeoutMs: number): Promise<void>;
  /** Called once when the process ends without having been asked to. */
  onCrash(listener: (error: AppError) => void): void;
  /** Ends the process at once; its memory goes back to the machine. */
  kill(): void;
};

/** What makes a Node process start sooner; all else of our environment, secrets among it, a model host has no use for. */
const PASSED_VARIABLES = [
  'NODE_COMPILE_CACHE',
  'NODE_OPTIONS',
  'MILLRACE_MODULE_BUNDLE',
  'MILLRACE_SOURCE_BUNDLE',
];
/**
 * Model hosts give way to the processes that answer requests: where both want a core, those get three times as much of
 * it and are there at once, so that a model at full load does not hold up the others. An idle core is theirs as ever.
 */
const NICENESS = 5;

function spawnHost(slots: readonly Slot[]): ChildProcess {
  const passed = PASSED_VARIABLES.map((name) => [name, process.env[name]]);
  const child = spawn(process.execPath, ['--no-warnings', HOST_MAIN], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...slots.map((slot) => slot.fd)],
    serialization: 'json',
    env: { ...Object.fromEntries(passed), MALLOC_ARENA_MAX: '2' },
  });
  try {
    if (child.pid !== undefined) setPriority(child.pid, NICENESS);
  } catch {
    // it has ended already, which its own events tell
  }
  return child;
}

function timeoutError(what: string, timeoutMs: number): AppError {
  return new AppError(
    'deadline_exceeded',
    `The model host did not ${what} within ${timeoutMs} ms and was ended.`,
  );
}

/**
 * Starts a host and waits until the runtime is loaded in it; a host that takes more than `memoryBytesMax` is killed, and
 * what it was asked fails with `exceeds_memory`. Throws `model_crashed` or `deadline_exceeded`.
 */
export async function startHost(timeoutMs: number, memoryBytesMax: number): Promise<Host> {
  const slots = Array.from({ length: SLOTS_PER_HOST }, () => createSlot());
  const free = slots.map((_, index) => index);
  const pending = new Map<number, Pending>();
  const child = spawnHost(slots);
  let nextId = 1;
  let alive = true;
  let isAsked = false;
  /** It is being killed: nothing more is given to it. */
  let isDoomed = false;
  let onCrash: ((error: AppError) => void) | undefined;
  let lastTimeout: AppError | undefined;
  let watch: NodeJS.Timeout | undefined;

  const settle = (id: number): Pending | undefined => {
    const waiting = pending.get(id);
    pending.delete(id);
    if (waiting !== undefined) clearTimeout(waiting.timer);
    return waiting;
  };

  /** Looks at the memory of the host for as long as it works on something. */
  function watchMemory(): void {
    watch ??= setInterval(() => {
      if (pending.size > 0 && alive && residentBytesOf(child.pid ?? 0) > memoryBytesMax) {
        isDoomed = true;
        lastTimeout = new AppError(
          'exceeds_memory',
          `The model took more than the ${memoryBytesMax} bytes that a model host may have and was ended.`,
        );
        for (const id of [...pending.keys()]) settle(id)?.reject(lastTimeout);
        child.kill('SIGKILL');
      }
      if (pending.size > 0 && alive) return;
      clearInterval(watch);
      watch = undefined;
    }, MEMORY_WATCH_MS).unref();
  }

  const ready = new Promise<number>((resolve, reject) => {
    const timer = setTimeout(() => reject(timeoutError('start', timeoutMs)), timeoutMs);
    child.on('message', (reply: HostReply) => {
      if ('type' in reply) {
        clearTimeout(timer);
        resolve(reply.residentBytes);
      } else if (reply.ok) settle(reply.id)?.resolve(reply.result);
      else settle(reply.id)?.reject(appErrorFrom(reply));
    });
    child.on('error', (cause) =>
      reject(new AppError('model_crashed', 'The model host could not be started.', { cause })),
    );
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      alive = false;
      for (const slot of slots) slot.close();
      const how = signal === null ? `with code ${code}` : `by ${signal}`;
      const error = new AppError(
        'model_crashed',
        `The process that hosts the model ended ${how}; it is being restarted.`,
      );
      reject(error);
      for (const id of [...pending.keys()]) settle(id)?.reject(error);
      if (!isAsked) onCrash?.(lastTimeout ?? error);
    });
  });

  function ask<T>(request: WithoutId<HostRequest>, what: string, limitMs: number): Promise<T> {
    if (!alive)
      return Promise.reject(new AppError('model_crashed', 'The process that hosts the model has ended.'));
    const id = nextId++;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        lastTimeout = timeoutError(what, limitMs);
        isDoomed = true;
        settle(id)?.reject(lastTimeout);
        child.kill('SIGKILL');
      }, limitMs);
      pending.set(id, { resolve: resolve as (value: unknown) => void, reject, timer });
      watchMemory();
      child.send({ ...request, id }, (error) => {
        if (error)
          settle(id)?.reject(new AppError('model_crashed', 'The process that hosts the model has ended.'));
      });
    });
  }

  const emptyBytes = await ready.catch((error: unknown) => {
    isAsked = true;
    child.kill('SIGKILL');
    throw error;
  });
  return {
    pid: child.pid ?? -1,
    emptyBytes,
    freeSlots: () => (alive && !isDoomed ? free.length : 0),
    isAlive: () => alive && !isDoomed,
    load: (graph, options, limitMs) =>
      ask<LoadReply>({ type: 'load', graph, options }, 'load the model', limitMs),
    measure: (limitMs, limits) => ask<Measurement>({ type: 'measure', limits }, 'warm the model up', limitMs),
    unload: async (limitMs) => void (await ask({ type: 'unload' }, 'unload', limitMs)),
    async run(inputs, outputs, limitMs) {
      const index = free.pop();
      const slot = index === undefined ? undefined : slots[index];
      if (index === undefined || slot === undefined) throw new Error('No slot is free; ask freeSlots first.');
      let isLarge = inputs.reduce((total, tensor) => total + tensorBytes(tensor), 0) > SLOT_SHRINK_BYTES;
      try {
        const refs = putTensors(slot, inputs);
        const request = {
          type: 'run' as const,
          slot: index,
          inputs: refs,
          ...(outputs && { outputs: [...outputs] }),
        };
        const reply = await ask<RunReply>(request, 'answer', limitMs);
        const tensors = takeTensors(slot, reply.outputs);
        isLarge ||= tensors.reduce((total, tensor) => total + tensorBytes(tensor), 0) > SLOT_SHRINK_BYTES;
        const { computeMs, inputDigests, residentBytes } = reply;
        const startedAt = reply.startedAtMachineMs - MACHINE_OFFSET_MS;
        return { outputs: tensors, computeMs, startedAt, inputDigests, residentBytes };
      } finally {
        if (alive && isLarge) slot.shrink();
        free.push(index);
      }
    },
    onCrash(listener) {
      onCrash = listener;
    },
    kill() {
      isAsked = true;
      child.kill('SIGKILL');
    },
  };
}
