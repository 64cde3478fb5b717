import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';

let ready: Promise<void> | undefined;

async function start(): Promise<void> {
  // models come as bytes that were checked; nothing here may ask an address for more
  tf.env().platform.fetch = () => Promise.reject(new Error('This runtime fetches nothing.'));
  if (!(await tf.setBackend('wasm'))) throw new Error('The wasm backend of TensorFlow.js does not start.');
  await tf.ready();
}

/** TensorFlow.js on its wasm backend, which reads its own .wasm file from the package. */
export async function tfjsRuntime(): Promise<typeof tf> {
  ready ??= start();
  await ready;
  return tf;
}
