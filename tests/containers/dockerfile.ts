import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY_ROOT } from '@millrace/embedded';

/** One instruction of a Dockerfile, its lines joined. */
export type Instruction = { name: string; text: string };

/** A stage: what it is from and what it adds. */
export type Stage = { name: string; from: string; instructions: Instruction[] };

/** Stages of a Dockerfile of deploy/docker, by name, in order. */
export function stagesOf(file: string): Map<string, Stage> {
  const stages = new Map<string, Stage>();
  let current: Stage | undefined;
  for (const instruction of instructionsOf(file)) {
    if (instruction.name === 'FROM') {
      const [from = '', , name = 'unnamed'] = instruction.text.split(/\s+/);
      current = { name, from, instructions: [] };
      stages.set(name, current);
    } else current?.instructions.push(instruction);
  }
  return stages;
}

function instructionsOf(file: string): Instruction[] {
  const lines = readFileSync(join(REPOSITORY_ROOT, file), 'utf8').split('\n');
  const joined = lines
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n/g, ' ');
  return joined
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', text = ''] = /^(\S+)\s+(.*)$/.exec(line.trim()) ?? [];
      return { name, text };
    });
}

/** Instructions that make up an image: those of its stage and of the stages below it, the base first. */
export function layersOf(stages: ReadonlyMap<string, Stage>, name: string): Instruction[] {
  const stage = stages.get(name);
  return stage === undefined ? [] : [...layersOf(stages, stage.from), ...stage.instructions];
}

/** The last instruction of a name in an image, as its text. */
export function lastOf(layers: readonly Instruction[], name: string): string | undefined {
  return layers.findLast((layer) => layer.name === name)?.text;
}

/** Variables that the instructions ENV of an image set. */
export function environmentOf(layers: readonly Instruction[]): Record<string, string> {
  const pairs = layers
    .filter(({ name }) => name === 'ENV')
    .flatMap(({ text }) => text.match(/\S+=\S*/g) ?? []);
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}
