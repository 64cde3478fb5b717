/** Files of packages that Node never reads: types, maps, and libraries for other systems. */
const NEVER_READ = [
  /\.(map|flow|tsbuildinfo)$/,
  // Node refuses TypeScript under node_modules, so this is types and sources of what is there compiled.
  /\.[mc]?ts$/,
  /\/onnxruntime-node\/bin\/napi-v\d+\/(darwin|win32|linux\/arm64)$/,
];
/** TensorFlow.js comes eight times over; Node loads `tf-*.node.js`, and the WebAssembly beside it. */
const TENSORFLOW_JS = /\/@tensorflow\/tfjs-[\w-]+\/(dist|src)(\/|$)/;
const TENSORFLOW_JS_LOADED = /\/dist(\/[\w.-]+\.node\.js|\/[\w.-]+\.wasm)?$/;

/** Whether a file or folder belongs into an image; what is outside of node_modules always does. */
export function isNeeded(path: string): boolean {
  const at = path.lastIndexOf('node_modules/');
  if (at < 0) return true;
  const inside = path.slice(at + 'node_modules'.length);
  if (TENSORFLOW_JS.test(inside)) return TENSORFLOW_JS_LOADED.test(inside);
  return !NEVER_READ.some((pattern) => pattern.test(inside));
}
