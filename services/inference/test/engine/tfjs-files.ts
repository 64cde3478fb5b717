import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GraphFile } from '../../src/engine/runtime-session.ts';

/** Files of a TF.js model by name. */
export type TfjsFiles = Record<string, Buffer>;

/** A model of the fixtures. */
export function tfjsFixture(name: 'layers' | 'graph'): TfjsFiles {
  const folder = new URL(`../fixtures/tfjs/${name}/`, import.meta.url);
  return Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(new URL(file, folder))]));
}

/** Pictures and what TensorFlow answers to them. */
export const tfjsSamples = JSON.parse(
  readFileSync(new URL('../fixtures/tfjs/samples.json', import.meta.url), 'utf8'),
) as { inputs: number[]; outputs: number[][] };

/** A graph model of nodes without weights. */
export function graphOf(nodes: object[], signature: object): TfjsFiles {
  const model = {
    format: 'graph-model',
    modelTopology: { node: nodes, versions: { producer: 1 } },
    signature,
    weightsManifest: [{ paths: [], weights: [] }],
  };
  return { 'model.json': Buffer.from(JSON.stringify(model)) };
}

/** Writes the files to disk, as the node cache does, and says where they are. */
export function placed(
  files: TfjsFiles,
): GraphFile & { weights: { name: string; path: string; sha256: string }[] } {
  const folder = mkdtempSync(join(tmpdir(), 'tfjs-test-'));
  const put = (name: string, bytes: Buffer) => {
    writeFileSync(join(folder, name), bytes);
    return { path: join(folder, name), sha256: createHash('sha256').update(bytes).digest('hex') };
  };
  const { 'model.json': json, ...weights } = files;
  return {
    ...put('model.json', json as Buffer),
    weights: Object.entries(weights).map(([name, bytes]) => ({ name, ...put(name, bytes) })),
  };
}
