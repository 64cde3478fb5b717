import { expect, test } from '@jest/globals';
import * as ort from 'onnxruntime-node';
import { inspectOnnx } from '../src/index.ts';
import { fixture, thrown } from './fixture.ts';

const loads = async (name: string): Promise<boolean> => {
  try {
    const session = await ort.InferenceSession.create(fixture(name), { logSeverityLevel: 4 });
    await session.release();
    return true;
  } catch {
    return false;
  }
};

test.each(['opset_newest', 'ml_newest', 'ir_newest', 'if_nested_8', 'functions_and_if'])(
  '%s is taken in and loads on the runtime',
  async (name) => {
    expect(inspectOnnx(fixture(name)).outputs).toHaveLength(1);
    expect(await loads(name)).toBe(true);
  },
);

test.each(['opset_too_new', 'ml_too_new', 'ir_too_new'])(
  '%s is refused by us and by the runtime',
  async (name) => {
    expect(thrown(() => inspectOnnx(fixture(name))).code).toBe('unsupported_opset');
    expect(await loads(name)).toBe(false);
  },
);
