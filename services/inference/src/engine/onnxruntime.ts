// From 1.29 on the runtime reports its use to its makers from Linux too, and keeps a device id in the home folder. Only
// this variable prevents that, and only when it is there before the library is loaded. Nothing of ours calls outside.
process.env.ORT_DISABLE_TELEMETRY = '1';

/** onnxruntime-node, without its telemetry; import it from here only. */
export const { default: onnxruntime } = await import('onnxruntime-node');
