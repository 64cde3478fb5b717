import Type from 'typebox';
import { Name, Uuid } from '../primitives.ts';

/** `millrace.rpc.datasets.find`: the dataset of a tenant by its id or name. */
export const findDatasetMethod = {
  request: Type.Object({ tenant: Type.String(), dataset: Type.String({ minLength: 1, maxLength: 255 }) }),
  reply: Type.Object({ datasetId: Uuid, name: Name }),
};
