import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { serialization } from '@tensorflow/tfjs-core';
import { version_layers } from '@tensorflow/tfjs-layers';
import { asynchronousOperators, graphOperators, layerClasses } from '../src/index.ts';

const converter = join(dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-converter')), '..');

/** Operators that write to the log of whoever runs them, or need an add-on. */
const LEFT_OUT = /^(Print|SimpleML\w+)$/;
/** What a topology does not name: how a model was trained. */
const OF_TRAINING = /^(Ada\w+|Momentum|RMSProp|SGD)$/;

test('the operators that are taken are those of the converter', () => {
  const folder = join(converter, 'dist/operations/op_list');
  const known = new Set(
    readdirSync(folder)
      .filter((file) => file.endsWith('.js'))
      .flatMap((file) => [...readFileSync(join(folder, file), 'utf8').matchAll(/'tfOpName': '(\w+)'/g)])
      .map(([, name]) => name as string),
  );
  expect([...graphOperators].sort()).toEqual([...known].filter((name) => !LEFT_OUT.test(name)).sort());
  expect([...asynchronousOperators].filter((name) => !graphOperators.has(name))).toEqual([]);
});

test('the layers that are taken are those that TensorFlow.js registers', () => {
  expect(version_layers).toBe('4.22.0');
  const { classNameMap } = serialization.SerializationMap.getMap();
  const known = Object.keys(classNameMap).filter((name) => /^[A-Z]/.test(name) && !OF_TRAINING.test(name));
  expect([...layerClasses].sort()).toEqual(known.sort());
});
