import type { TfjsTensor } from '@millrace/tfjs';
import type { ModelSignature, Tensor, TensorSpec } from '../../tensors/tensor.ts';
import { probeInputs } from '../measure.ts';
import type { LoadedTfjs } from './load-tfjs.ts';

/** Inputs of a layers model have one number of rows. */
const ROW_SYMBOL = 'rows';

function specOf(tensor: TfjsTensor, seen: Tensor | undefined, hasOneRowCount: boolean): TensorSpec {
  const dtype = tensor.dtype ?? seen?.dtype ?? 'float32';
  // a run tells how many axes there are, not which of their sizes are fixed
  const shape = tensor.shape ?? (seen?.shape ?? []).map(() => null);
  const symbol = hasOneRowCount && shape[0] === null ? { rowSymbol: ROW_SYMBOL } : {};
  return { name: tensor.name, dtype, shape, ...symbol };
}

/** What a loaded model takes and gives; a first run tells what its file does not say. Throws what that run throws. */
export async function signatureOf(model: LoadedTfjs): Promise<ModelSignature> {
  const { inputs, outputs, hasOneRowCount } = model;
  const given = inputs.map((tensor) => specOf(tensor, undefined, hasOneRowCount));
  const seen = await model.run(probeInputs({ inputs: given, outputs: [] }, 1));
  return { inputs: given, outputs: outputs.map((tensor, i) => specOf(tensor, seen[i], false)) };
}
