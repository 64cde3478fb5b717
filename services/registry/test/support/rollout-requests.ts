import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { RolloutSpec } from '@millrace/contracts';
import type { RegistryStack } from './registry-stack.ts';
import { getJson, upload } from './registry-stack.ts';

/** Both versions answer the first (3, and 3.25 from v2); only v1 answers the second. */
const FINE = [1, 1, 1, 0.5];
export const FATAL = [10, 10, 10, 10];

export type Reply = { status: number; etag: string | null; body: Record<string, unknown> };
type Status = {
  canary: string;
  reason: string | null;
  sources: number;
  versions: { version: string; requests: number; requestsTotal: number; errors: number }[];
  shadow: Record<string, number> | null;
};
export type PredictOptions = {
  x?: number[];
  version?: string;
  userId?: string;
  headers?: Record<string, string>;
  origin?: string | undefined;
};

/** The bytes of a model of the fixtures. */
export const file = (name: string): Buffer =>
  readFileSync(fileURLToPath(new URL(`../fixtures/${name}.onnx`, import.meta.url)));

/** Weights of v1 and v2. */
export const split = (v1: number, v2: number): RolloutSpec => ({
  weights: [
    { version: 'v1', weight: v1 },
    { version: 'v2', weight: v2 },
  ],
});

/** Sends a request and gives what a rollout needs of the answer. */
export async function ask(
  method: string,
  url: string,
  headers: Record<string, string>,
  body?: unknown,
): Promise<Reply> {
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    etag: response.headers.get('etag'),
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
  };
}

/** Requests about rollouts and under them. */
export type RolloutRequests = {
  path(model: string): string;
  put(model: string, spec: RolloutSpec, ifMatch?: string): Promise<Reply>;
  status(model: string): Promise<Status>;
  /** A model with the versions v1 (never fails) and v2 (fails on FATAL). */
  addModel(model: string): Promise<void>;
  /** Asks inference on a connection of its own, so that the fronts take turns. */
  predict(model: string, options?: PredictOptions): Promise<{ status: number; version: string }>;
  /** The versions that answer; throws when a request fails. */
  versionsOf(model: string, count: number, options?: PredictOptions): Promise<string[]>;
};

export function rolloutRequests(stack: () => RegistryStack): RolloutRequests {
  const path = (model: string): string =>
    `${stack().registry.origin}/v1/rollouts/${encodeURIComponent(model)}`;

  async function predict(modelId: string, options: PredictOptions = {}) {
    const { x = FINE, headers = {}, origin = stack().inference?.origin, ...rest } = options;
    const response = await fetch(`${origin}/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close', ...headers },
      body: JSON.stringify({ modelId, features: { x }, ...rest }),
    });
    const body = (await response.json()) as { modelVersion?: string };
    return { status: response.status, version: body.modelVersion ?? '' };
  }

  return {
    path,
    put: (model, spec, ifMatch) =>
      ask('PUT', path(model), ifMatch === undefined ? {} : { 'if-match': ifMatch }, spec),
    status: async (model) => (await getJson(`${path(model)}/status`)).body as Status,
    async addModel(model) {
      for (const [version, name] of [
        ['v1', 'steady'],
        ['v2', 'fragile'],
      ] as const) {
        const fields = { modelId: model, version, framework: 'onnx' };
        const { body } = await upload(stack().registry.origin, fields, file(name));
        if (body.success !== true) throw new Error(`The upload failed: ${JSON.stringify(body)}`);
      }
    },
    predict,
    async versionsOf(model, count, options) {
      const versions: string[] = [];
      for (let i = 0; i < count; i += 1) {
        const { status, version } = await predict(model, options);
        if (status !== 200) throw new Error(`Request ${i} got ${status}.`);
        versions.push(version);
      }
      return versions;
    },
  };
}
