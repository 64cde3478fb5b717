import type { Worker } from 'node:cluster';
import cluster from 'node:cluster';
import type { LoadVersionReply } from '@millrace/contracts';
import { AppError, isAppError } from '@millrace/contracts';
import type { Logger, Metrics } from '@millrace/service-kit';
import { ConfigError, mergeMetrics, snapshotMetrics } from '@millrace/service-kit';
import type { BatchService } from '../batch/batch.service.ts';
import type { ChunkOrder, RunChunk } from '../batch/chunk/chunk-order.ts';
import type { FigureShelf } from '../engine/figure-shelf.ts';
import { createSharedProbe } from '../engine/probe.ts';
import type { EngineOptions } from '../engine/served-model.ts';
import type { Addresses } from '../front.ts';
import { mergeServingViews } from '../models/serving-report.ts';
import type { PackageCache } from '../packages/package-cache.ts';
import type { FrontCalls, SupervisorCalls, Target } from './calls.ts';
import { ANSWER_TIMEOUT_MS, CHUNK_TIMEOUT_MS, LOAD_TIMEOUT_MS, RECALL_TIMEOUT_MS } from './calls.ts';
import type { Channel, Handlers } from './channel.ts';
import { openChannel } from './channel.ts';
import type { FrontProcess } from './front-process.ts';
import { forkFront } from './front-process.ts';
import { createNameLog } from './name-log.ts';
import { mergeIndexes, mergeStatistics } from './server-face.ts';

/** A front has this long from its start until it can be asked (ms). */
const START_TIMEOUT_MS = 180_000;
/** A front that is asked to close has this long, then it is killed (ms). */
const CLOSE_TIMEOUT_MS = 20_000;
/** First wait before a front is started again; doubled with each end, back to this after a quiet minute (ms). */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;
const QUIET_MS = 60_000;
export type SupervisorOptions = {
  fronts: number;
  /** One of them, where it was started ahead. */
  first?: FrontProcess;
  logger: Logger;
  metrics: Metrics;
  cache: PackageCache;
  engine: EngineOptions;
  /** Figures of graphs from earlier starts. */
  figures: FigureShelf;
  /** Batch jobs, there once the database is. */
  batch: Promise<BatchService>;
  /** Versions that a fresh front loads before it opens the port, at most: those loaded last. */
  modelsMax: number;
};

/** The processes that answer requests, seen as one server. */
export type Supervisor = Addresses & {
  /** Verifies, loads and warms a version in every front. Throws the first error. */
  load(modelVersionId: string): Promise<LoadVersionReply>;
  /** Has the front with the fewest chunks in hand predict one. */
  runChunk: RunChunk;
  /** To be called once, when the rest of the service is there: the fronts then say that they are ready. */
  started(): Promise<void>;
  /** Process ids of the fronts. */
  pids(): number[];
  close(): Promise<void>;
};

type Front = {
  worker: Worker;
  channel: Channel<FrontCalls>;
  startedAt: number;
  exited: Promise<void>;
  /** Chunks of batch jobs in its hands. */
  chunks: number;
};

function openFront(
  started: FrontProcess,
  handlers: Handlers<SupervisorCalls>,
): Front & { ready: Promise<void> } {
  const { worker } = started;
  const listeners: ((message: unknown) => void)[] = [];
  const channel = openChannel<FrontCalls, SupervisorCalls>(
    {
      send: (message) => {
        if (worker.isConnected()) worker.send(message);
      },
      onMessage: (listener) => void listeners.push(listener),
    },
    handlers,
  );
  const exited = started.exited.then((how) =>
    channel.close(new AppError('model_crashed', `A process of the server ended ${how}; try again.`)),
  );
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('A front did not start in time.')), START_TIMEOUT_MS);
    listeners.push((message) => {
      if ((message as { front?: string }).front !== 'ready') return;
      clearTimeout(timer);
      resolve();
    });
    void exited.then(() => {
      clearTimeout(timer);
      reject(new Error('A front ended before it was ready; its log says why.'));
    });
  });
  started.listen((message) => {
    for (const listener of listeners) listener(message);
  });
  return { worker, channel, startedAt: Date.now(), exited, ready, chunks: 0 };
}

/** Starts the fronts, the first ahead of the others, and resolves when all listen; one that ends is started again with the models that were loaded. */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { logger, cache, metrics } = options;
  const fronts = new Set<Front>();
  /** In order of their loads. */
  const loaded = new Set<string>();
  const names = createNameLog();
  let restarts = 0;
  let isClosing = false;
  let isStarted = false;

  const isPassing = (error: unknown): boolean => isAppError(error) && error.code === 'model_crashed';

  /** Answers of all fronts; one that ends meanwhile is left out as long as another answers. */
  async function ask<K extends keyof FrontCalls & string>(
    name: K,
    params: FrontCalls[K]['params'],
    timeoutMs: number,
  ): Promise<FrontCalls[K]['result'][]> {
    const asked = [...fronts].map((front) => front.channel.call(name, params, timeoutMs));
    const settled = await Promise.allSettled(asked);
    const answers = settled.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    const errors = settled.filter((one) => one.status === 'rejected').map((one) => one.reason as unknown);
    const error = errors.find((one) => !isPassing(one)) ?? (answers.length === 0 ? errors[0] : undefined);
    if (error !== undefined) throw error;
    if (answers.length === 0)
      throw new AppError('dependency_unavailable', 'The server is starting; try again.');
    return answers;
  }

  function remember(modelVersionId: string): void {
    loaded.delete(modelVersionId);
    loaded.add(modelVersionId);
    if (loaded.size > options.modelsMax) loaded.delete(loaded.values().next().value as string);
  }

  async function load(modelVersionId: string): Promise<LoadVersionReply> {
    const replies = await ask('load', { modelVersionId }, LOAD_TIMEOUT_MS);
    remember(modelVersionId);
    const slowest = (what: 'loadMs' | 'warmUpMs'): number => Math.max(...replies.map((reply) => reply[what]));
    return { ...replies[0], modelVersionId, loadMs: slowest('loadMs'), warmUpMs: slowest('warmUpMs') };
  }

  async function runChunk(order: ChunkOrder): ReturnType<RunChunk> {
    const [front] = [...fronts].sort((a, b) => a.chunks - b.chunks);
    if (front === undefined)
      throw new AppError('dependency_unavailable', 'The server is starting; try again.');
    front.chunks += 1;
    try {
      return await front.channel.call('runChunk', order, CHUNK_TIMEOUT_MS);
    } finally {
      front.chunks -= 1;
    }
  }

  /** Statistics exist where a version is loaded; one front that has it is enough. */
  async function statistics(target: Target): Promise<SupervisorCalls['statistics']['result']> {
    const asked = [...fronts].map((front) => front.channel.call('statistics', target, ANSWER_TIMEOUT_MS));
    const settled = await Promise.allSettled(asked);
    const answers = settled.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    const [failed] = settled.filter((one) => one.status === 'rejected');
    if (answers.length === 0 && failed !== undefined) throw failed.reason;
    return mergeStatistics(answers);
  }

  const probe = createSharedProbe(options.engine, options.figures);
  const handlers: Handlers<SupervisorCalls> = {
    fetch: ({ sha256 }) => cache.fetch(sha256),
    async discard({ sha256 }) {
      await cache.discard(sha256);
      return null;
    },
    probe,
    index: async () => mergeIndexes(await ask('index', null, ANSWER_TIMEOUT_MS)),
    async loadByName(target) {
      await ask('loadByName', target, LOAD_TIMEOUT_MS);
      names.load(target);
      return null;
    },
    async unloadByName(target) {
      await ask('unloadByName', target, LOAD_TIMEOUT_MS);
      names.unload(target);
      return null;
    },
    statistics,
    async config(target) {
      const [first] = [...fronts];
      if (first === undefined)
        throw new AppError('dependency_unavailable', 'The server is starting; try again.');
      return first.channel.call('config', target, LOAD_TIMEOUT_MS);
    },
    async recall(target) {
      const known = (await ask('recall', target, RECALL_TIMEOUT_MS)).filter((one) => one !== null);
      return known.sort((a, b) => b.at - a.at)[0] ?? null;
    },
    batchCreate: async (params) => (await options.batch).batchCreate(params),
    batchList: async (params) => (await options.batch).batchList(params),
    batchGet: async (params) => (await options.batch).batchGet(params),
    batchCancel: async (params) => (await options.batch).batchCancel(params),
    batchResults: async (params) => (await options.batch).batchResults(params),
    view: async () => mergeServingViews(await ask('view', null, ANSWER_TIMEOUT_MS)),
    async unload(params) {
      loaded.delete(params.modelVersionId);
      return (await ask('unload', params, LOAD_TIMEOUT_MS)).includes(true);
    },
    async metricsText() {
      const own = await snapshotMetrics(metrics);
      return mergeMetrics([own, ...(await ask('metrics', null, ANSWER_TIMEOUT_MS))]);
    },
  };

  /** Brings a fresh front to where the others are: what was unloaded by name, and the models in memory. */
  async function catchUp(front: Front): Promise<void> {
    for (const { isLoad, target } of names.list())
      await front.channel.call(isLoad ? 'loadByName' : 'unloadByName', target, LOAD_TIMEOUT_MS);
    for (const modelVersionId of loaded) {
      await front.channel.call('load', { modelVersionId }, LOAD_TIMEOUT_MS).catch((error: unknown) => {
        // a version that cannot be loaded any more must not keep the server from answering for the others
        logger.warn({ err: error, modelVersionId }, 'A model was not loaded into a fresh front.');
        loaded.delete(modelVersionId);
      });
    }
  }

  async function open(started = forkFront()): Promise<Addresses> {
    const front = openFront(started, handlers);
    void front.exited.then(() => onExit(front));
    await front.ready;
    // what is asked of the server from now on is asked of this front too, what was asked before it catches up with
    fronts.add(front);
    await catchUp(front);
    const answer = await front.channel.call('listen', null, START_TIMEOUT_MS);
    if ('faults' in answer) throw new ConfigError(answer.faults);
    if (isStarted) await tellStarted(front);
    return answer;
  }

  /** One that ends meanwhile is told when it is started again. */
  async function tellStarted({ channel }: Front): Promise<void> {
    await channel.call('started', null, ANSWER_TIMEOUT_MS).catch((error: unknown) => {
      if (!isPassing(error)) throw error;
    });
  }

  function onExit(front: Front): void {
    fronts.delete(front);
    if (isClosing) return;
    restarts = Date.now() - front.startedAt > QUIET_MS ? 0 : restarts + 1;
    const waitMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** restarts);
    logger.error({ pid: front.worker.process.pid, waitMs }, 'A front ended and is started again.');
    setTimeout(() => {
      if (isClosing) return;
      void open().catch((error: unknown) => logger.error({ err: error }, 'A front could not be started.'));
    }, waitMs);
  }

  async function close(): Promise<void> {
    isClosing = true;
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    const known = new Map([...fronts].map((front) => [front.worker, front]));
    await Promise.all(
      workers.map(async (worker) => {
        const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
        const timer = setTimeout(() => worker.process.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
        await known
          .get(worker)
          ?.channel.call('close', null, CLOSE_TIMEOUT_MS)
          .catch(() => undefined);
        if (worker.isConnected()) worker.disconnect();
        if (!worker.isDead()) worker.process.kill('SIGKILL');
        await (worker.isDead() ? undefined : gone);
        clearTimeout(timer);
      }),
    );
    options.engine.spares.close();
  }

  try {
    // one front answers before the others take its time
    const addresses = await open(options.first);
    await Promise.all(Array.from({ length: options.fronts - 1 }, () => open()));
    return {
      ...addresses,
      load,
      runChunk,
      async started() {
        isStarted = true;
        await Promise.all([...fronts].map(tellStarted));
      },
      pids: () => [...fronts].map(({ worker }) => worker.process.pid ?? -1),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
