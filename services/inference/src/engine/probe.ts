import type { FigureShelf } from './figure-shelf.ts';
import type { Host } from './host.ts';
import type { JoinLimits, LoadReply, Measurement } from './host-protocol.ts';
import type { HostBounds } from './hosted-runner.ts';
import type { GraphFile } from './runtime-session.ts';
import type { SpareHosts } from './spare-host.ts';

/** What a first load in a model host told about a graph. */
export type ProbeReply = LoadReply & {
  measurement: Measurement;
  /** Memory that the model took in the host (bytes). */
  residentBytes: number;
};

/** The same, with the host that still has the model when it was loaded by this process. */
export type Probe = ProbeReply & { host?: Host };

/** Graphs whose figures are kept. */
const KEPT_MAX = 10_000;

/** A host of a TF.js model keeps that runtime in memory and is no spare for others. */
const isOfTfjs = (graph: GraphFile): boolean => graph.weights !== undefined;

/** All bytes that a graph is made of. */
const keyOf = ({ sha256, weights = [] }: GraphFile): string =>
  [sha256, ...weights.map((file) => `${file.name} ${file.sha256}`)].join();

/**
 * Loads a graph, verified, into a spare host, warms and measures it there. The host keeps the model.
 * Throws `digest_mismatch`, `model_load_failed`, `unsupported_input`, `unsupported_output`, `model_crashed`,
 * `deadline_exceeded`, or `inference_failed` when the warm-up fails.
 */
export async function probeInHost(
  graph: GraphFile,
  options: { spares: SpareHosts; threadsPerHost: number; joining: JoinLimits; bounds: HostBounds },
): Promise<Probe & { host: Host }> {
  const { loadMs, outputBytesMax } = options.bounds;
  const host = await options.spares.take();
  try {
    const loaded = await host.load(graph, { threads: options.threadsPerHost, outputBytesMax }, loadMs);
    const measurement = await host.measure(loadMs, options.joining);
    const residentBytes = Math.max(0, measurement.residentBytes - host.emptyBytes);
    return { ...loaded, measurement, residentBytes, host };
  } catch (error) {
    host.kill();
    throw error;
  }
}

/**
 * Probes for other processes: one at a time, so that they do not disturb each other, and once for each graph, also over
 * restarts, from which `shelf` has figures.
 */
export function createSharedProbe(
  options: Parameters<typeof probeInHost>[1],
  shelf?: FigureShelf,
): (graph: GraphFile) => Promise<ProbeReply> {
  const known = new Map<string, ProbeReply>();
  const running = new Map<string, Promise<ProbeReply>>();
  let turn: Promise<unknown> = Promise.resolve();

  function keep(key: string, reply: ProbeReply): void {
    known.set(key, reply);
    if (known.size > KEPT_MAX) known.delete(known.keys().next().value as string);
  }

  /** Figures depend on how a graph was run as well. */
  const shelfKeyOf = (graph: GraphFile): string =>
    [keyOf(graph), options.threadsPerHost, options.joining.ulpsMax, options.joining.pairMsMax].join();

  async function probe(graph: GraphFile): Promise<ProbeReply> {
    const shelved = await shelf?.read(shelfKeyOf(graph));
    if (shelved !== undefined) {
      keep(keyOf(graph), shelved);
      return shelved;
    }
    const { host, ...reply } = await probeInHost(graph, options);
    if (isOfTfjs(graph)) host.kill();
    else
      await host.unload(options.bounds.loadMs).then(
        () => options.spares.giveBack(host),
        () => host.kill(),
      );
    keep(keyOf(graph), reply);
    await shelf?.write(shelfKeyOf(graph), reply);
    return reply;
  }

  return (graph) => {
    const key = keyOf(graph);
    const held = known.get(key);
    if (held !== undefined) return Promise.resolve(held);
    const current = running.get(key);
    if (current !== undefined) return current;
    const work = turn.then(() => probe(graph)).finally(() => running.delete(key));
    running.set(key, work);
    turn = work.catch(() => undefined);
    return work;
  };
}
