// onnxruntime-node checks tensor data by constructor identity; jest's own realm has other typed arrays,
// so the real ones are shared with every test.
const NodeEnvironmentModule = require('jest-environment-node');
const NodeEnvironment = NodeEnvironmentModule.TestEnvironment ?? NodeEnvironmentModule.default;

const SHARED = [
  'ArrayBuffer',
  'SharedArrayBuffer',
  'Uint8Array',
  'Int8Array',
  'Uint8ClampedArray',
  'Uint16Array',
  'Int16Array',
  'Uint32Array',
  'Int32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'Float16Array',
];

class NativeEnvironment extends NodeEnvironment {
  constructor(config, context) {
    super(config, context);
    for (const name of SHARED) if (globalThis[name] !== undefined) this.global[name] = globalThis[name];
  }
}

module.exports = NativeEnvironment;
