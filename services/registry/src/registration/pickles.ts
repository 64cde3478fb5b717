import { AppError } from '@millrace/contracts';

/** Names of files that Python unpickles. */
const PICKLE_NAME = /\.(pkl|pickle|joblib|dill|cloudpickle|pt|pth|skops)$/i;
const PICKLE_OPCODE = 0x80;
const PICKLE_PROTOCOL_MAX = 5;

/** Whether a file holds a pickle: by its name, or by a beginning of protocol 2 to 5, whatever it is called. */
export function isPickle(name: string, head: Buffer): boolean {
  const [opcode, protocol = 0] = head;
  return (
    PICKLE_NAME.test(name) || (opcode === PICKLE_OPCODE && protocol >= 2 && protocol <= PICKLE_PROTOCOL_MAX)
  );
}

/** @throws AppError `unsafe_model` for a model with pickles where policy takes none */
export function assertPickles(pickles: readonly string[], policy: { readonly allowPickle: boolean }): void {
  const [pickle] = pickles;
  if (pickle === undefined || policy.allowPickle) return;
  throw new AppError(
    'unsafe_model',
    `Policy takes no model that holds pickles; ${pickle} is one. Log the model without, for example as ONNX or safetensors.`,
  );
}
