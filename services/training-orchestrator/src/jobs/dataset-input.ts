import type { Bus } from '@millrace/bus';
import { callRpc } from '@millrace/bus';
import { DatasetInput, Uuid } from '@millrace/contracts';
import Type from 'typebox';

const resolve = {
  request: Type.Object({ tenant: Type.String(), versionId: Uuid }),
  reply: DatasetInput,
};

/** The files of a dataset version that is ready. @throws AppError what the datasets service says, and that of the call */
export async function resolveDataset(bus: Bus, tenant: string, versionId: string): Promise<DatasetInput> {
  return await callRpc(bus, 'datasets', 'resolve', resolve, { tenant, versionId });
}
