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

// Timeouts of tests are there to end what hangs. On a shared machine the same work may take several times as long.
const PATIENCE = 3;
const TEST_TIMEOUT_MS = 60_000;
const extended = new WeakSet();

function extend(timed) {
  if (timed === undefined || extended.has(timed)) return;
  extended.add(timed);
  timed.timeout = (timed.timeout ?? TEST_TIMEOUT_MS) * PATIENCE;
}

class NativeEnvironment extends NodeEnvironment {
  constructor(config, context) {
    super(config, context);
    for (const name of SHARED) if (globalThis[name] !== undefined) this.global[name] = globalThis[name];
  }

  handleTestEvent(event) {
    if (event.name === 'test_start') extend(event.test);
    if (event.name === 'hook_start') extend(event.hook);
  }
}

module.exports = NativeEnvironment;
