import type { GraphFile } from '../../src/engine/runtime-session.ts';
import type { EngineOptions, ServedModel } from '../../src/engine/served-model.ts';
import { openModel } from '../../src/engine/served-model.ts';
import { createSpareHosts } from '../../src/engine/spare-host.ts';

/** Memory of a model host of the tests (bytes). */
const HOST_BYTES_MAX = 1_024 * 1024 * 1024;
const HOST_START_MS = 20_000;

/** An engine on hosts of its own, and the models that were opened with it. */
export type TestEngine = {
  readonly options: EngineOptions;
  /** Opens a model that `close` closes. */
  open(graph: GraphFile, changes?: Partial<EngineOptions>): Promise<ServedModel>;
  close(): Promise<void>;
};

/** One front with one host for each slow model, bit-identical joining and small bounds; `changes` come on top. */
export function createTestEngine(changes: Partial<EngineOptions> = {}): TestEngine {
  const spares = createSpareHosts(HOST_START_MS, HOST_BYTES_MAX);
  const options: EngineOptions = {
    spares,
    bounds: {
      loadMs: 30_000,
      runMs: 5_000,
      outputBytesMax: 4 * 1024 * 1024,
      memoryBytesMax: HOST_BYTES_MAX,
    },
    limits: { requestsMax: 64, bytesMax: 32 * 1024 * 1024, joinedRowsMax: 32 },
    fronts: 1,
    hostsPerModel: 1,
    threadsPerHost: 1,
    isInlineAllowed: true,
    joining: { ulpsMax: 0, pairMsMax: 0.5 },
    inlineRunMsMax: 0.15,
    log: () => undefined,
    ...changes,
  };
  const opened: ServedModel[] = [];
  return {
    options,
    async open(graph, more = {}) {
      const model = await openModel(graph, { ...options, ...more });
      opened.push(model);
      return model;
    },
    async close() {
      await Promise.all(opened.map((model) => model.close()));
      spares.close();
    },
  };
}
