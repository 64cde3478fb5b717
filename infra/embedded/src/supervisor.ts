import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_CONFIG } from './exit-codes.ts';
import type { Part, PartKind } from './part.ts';
import type { ManagedProcess, ProcessExit } from './process.ts';

/** Waits before each restart of a part that keeps crashing; after the last one it stays down. */
const RESTART_DELAYS_MS = [500, 1_000, 2_000, 5_000, 10_000, 30_000];
/** A part that ran this long has recovered, and its count of restarts begins anew. */
const STABLE_AFTER_MS = 60_000;

/** What a part is doing. */
export type PartStatus = 'starting' | 'running' | 'restarting' | 'failed' | 'stopped';

/** One line of the platform's state. */
export type PartState = {
  name: string;
  kind: PartKind;
  status: PartStatus;
  pid: number | null;
  port: number | null;
  restarts: number;
  /** When it entered this status, ISO 8601. */
  since: string;
  logFile: string;
  /** Why it is down; null while it runs. */
  reason: string | null;
};

/** Keeps parts running: starts them, restarts what crashes, stops all in order. */
export type Supervisor = {
  /** Starts a part and waits until it is ready; throws what its start threw. */
  start(part: Part): Promise<void>;
  /** State of every part, in the order they were started. */
  states(): PartState[];
  /** Stops groups of parts one after another, each group's parts together; nothing is restarted any more. */
  stop(groups: readonly (readonly string[])[]): Promise<void>;
};

type Entry = { part: Part; state: PartState; process: ManagedProcess | null; startedAt: number };

/** `onChange` is called after every change of a state, `onMessage` with a sentence for the user. */
export function createSupervisor(hooks: {
  onChange: () => void;
  onMessage: (message: string) => void;
}): Supervisor {
  const entries = new Map<string, Entry>();
  const pending = new Set<Promise<void>>();
  const stopping = new AbortController();

  const set = (entry: Entry, change: Partial<PartState>): void => {
    Object.assign(entry.state, { since: new Date().toISOString(), reason: null, ...change });
    hooks.onChange();
  };

  const launch = async (entry: Entry): Promise<void> => {
    const process = await entry.part.start(stopping.signal);
    entry.process = process;
    entry.startedAt = Date.now();
    set(entry, { status: 'running', pid: process.pid });
    void process.exited.then((exit) => onExit(entry, process, exit));
  };

  const onExit = (entry: Entry, process: ManagedProcess, exit: ProcessExit): void => {
    if (entry.process !== process || stopping.signal.aborted) return;
    entry.process = null;
    if (Date.now() - entry.startedAt > STABLE_AFTER_MS) entry.state.restarts = 0;
    const reason = exit.signal ? `ended by ${exit.signal}` : `ended with code ${exit.code}`;
    if (exit.code === EXIT_CONFIG) giveUp(entry, `${reason}: its configuration is wrong`);
    else track(revive(entry, reason));
  };

  const giveUp = (entry: Entry, reason: string): void => {
    set(entry, { status: 'failed', pid: null, reason });
    hooks.onMessage(`${entry.part.name} stays down: ${reason} (log: ${entry.part.logFile})`);
  };

  const revive = async (entry: Entry, firstReason: string): Promise<void> => {
    let reason = firstReason;
    for (;;) {
      const waitMs = RESTART_DELAYS_MS[entry.state.restarts];
      if (waitMs === undefined) return giveUp(entry, `${reason}, after ${entry.state.restarts} restarts`);
      set(entry, { status: 'restarting', pid: null, restarts: entry.state.restarts + 1, reason });
      hooks.onMessage(`${entry.part.name} ${reason}; starting it again in ${waitMs / 1000} s`);
      await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      try {
        await launch(entry);
        return;
      } catch (error) {
        reason = (error as Error).message;
      }
    }
  };

  const track = (work: Promise<void>): void => {
    pending.add(work);
    void work.finally(() => pending.delete(work));
  };

  return {
    async start(part) {
      const { name, kind, port, logFile } = part;
      const since = new Date().toISOString();
      const state: PartState = {
        name,
        kind,
        status: 'starting',
        pid: null,
        port,
        restarts: 0,
        since,
        logFile,
        reason: null,
      };
      const entry: Entry = { part, state, process: null, startedAt: Date.now() };
      entries.set(name, entry);
      hooks.onChange();
      const launching = launch(entry);
      track(launching.catch(() => undefined));
      try {
        await launching;
      } catch (error) {
        set(entry, { status: 'failed', reason: (error as Error).message });
        throw error;
      }
    },
    states: () => [...entries.values()].map((entry) => ({ ...entry.state })),
    async stop(groups) {
      stopping.abort();
      await Promise.all(pending);
      const stopOne = async (name: string): Promise<void> => {
        const entry = entries.get(name);
        if (!entry) return;
        await entry.process?.stop();
        set(entry, { status: 'stopped', pid: null });
      };
      for (const group of groups) await Promise.all(group.map(stopOne));
    },
  };
}
