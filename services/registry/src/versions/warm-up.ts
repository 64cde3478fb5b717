import type { LoadVersionReply, ServedTensor } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import type { TensorSpec } from '@millrace/onnx';
import type { VersionRepository } from './version.repository.ts';
import type { VersionRow } from './version.table.ts';

/** Has inference verify, load and warm a version. Throws what inference answers. */
export type WarmUp = (modelVersionId: string) => Promise<LoadVersionReply>;

type Tensors = Pick<VersionRow, 'inputs' | 'outputs'>;

const isOpen = ({ shape }: TensorSpec): boolean => shape === null;

/** Whether the file of a version left a shape open that its loaded model has. */
export function hasOpenShapes({ inputs, outputs }: Tensors): boolean {
  return inputs.some(isOpen) || outputs.some(isOpen);
}

function filled(specs: readonly TensorSpec[], served: readonly ServedTensor[] = []): readonly TensorSpec[] {
  const byName = new Map(served.map((tensor) => [tensor.name, tensor]));
  return specs.map((spec) => {
    const told = byName.get(spec.name);
    // the type too: a file that is silent about the one is silent about the other
    return told === undefined || !isOpen(spec)
      ? spec
      : { ...spec, dtype: told.dtype as TensorSpec['dtype'], shape: told.shape };
  });
}

/**
 * Warms versions up, and keeps the shapes that a file leaves open and the loaded model has, such as those of the outputs
 * of a TF.js layers model. What was signed stays as it is.
 */
export function createWarmUp(
  { database, versions }: { database: Database; versions: VersionRepository },
  load: WarmUp,
): WarmUp {
  return async function warmUp(modelVersionId) {
    const reply = await load(modelVersionId);
    const version = (await versions.findById(database.db, modelVersionId))?.version;
    if (version !== undefined && hasOpenShapes(version))
      await versions.setTensors(database.db, modelVersionId, {
        inputs: filled(version.inputs, reply.inputs),
        outputs: filled(version.outputs, reply.outputs),
      });
    return reply;
  };
}
