import type { JobResult } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { modelDigest } from '@millrace/integrity';
import type { Storage } from '@millrace/storage';
import { GRAPH_PATH } from '../registration/graph.ts';
import { inspectStored } from '../registration/inspect.ts';
import { assertParity, verifyBlob, withServingGraph } from '../registration/pipeline-package.ts';
import { importConversion, importProvenance } from '../registration/provenance.ts';
import type { ReadyRegistration } from '../registration/registration.service.ts';
import type { SigningKey } from '../registration/sign.ts';
import { signPackage } from '../registration/sign.ts';
import type { ImportRow } from './import.table.ts';

/** Folder of the package that keeps what was uploaded. */
const SOURCE_FOLDER = 'source/';

/**
 * Reads what a conversion made, checks it against its digests and its parity, and signs it with the files that were
 * uploaded.
 * @throws AppError `artifact_corrupt`, `artifact_missing`, `parity_failed`, and those of the graph
 */
export async function prepareImport(
  { storage, key }: { storage: Storage; key: SigningKey },
  row: ImportRow,
  job: { jobId: string; result: JobResult },
): Promise<ReadyRegistration> {
  const { files: made, meta } = job.result;
  assertParity(meta);
  const onnx = made.find(({ path }) => path === GRAPH_PATH);
  if (onnx === undefined) throw new AppError('not_onnx', `The conversion made no ${GRAPH_PATH}.`);
  const sources = row.files.map((file) => ({ ...file, path: `${SOURCE_FOLDER}${file.path}` }));
  for (const file of [...made, ...sources]) if (file !== onnx) await verifyBlob(storage, file);
  const graph = await inspectStored(storage, onnx);
  const { files, servingFile } = withServingGraph([...made, ...sources], GRAPH_PATH, graph);
  const digest = modelDigest({ weightsDigest: graph.weightsDigest, graphDigests: [graph.sha256] });
  const uploaded = row.files.map(({ path, sha256 }) => ({ path, sha256 }));
  const from = {
    by: row.createdBy,
    importId: row.id,
    conversionJobId: job.jobId,
    files: uploaded,
    conversionMeta: meta,
  };
  return {
    tenant: row.tenant,
    model: row.model,
    label: row.label,
    stage: row.stage,
    framework: 'onnx',
    modelDigest: digest,
    graph: { sha256: row.contentDigest, inputs: graph.inputs, outputs: graph.outputs },
    servingFile,
    signed: await signPackage(key, {
      name: row.model,
      files,
      modelDigest: digest,
      provenance: importProvenance(from),
      conversion: importConversion(from, onnx),
      meta: {
        framework: 'onnx',
        source: row.format,
        opsets: graph.opsets,
        irVersion: graph.irVersion,
        inputs: graph.inputs,
        outputs: graph.outputs,
        changes: graph.changes,
        conversion: meta,
        inputSchema: row.inputSchema,
        outputSchema: row.outputSchema,
        metadata: row.metadata,
      },
    }),
    inputSchema: row.inputSchema ?? undefined,
    outputSchema: row.outputSchema ?? undefined,
    metadata: row.metadata ?? undefined,
    lineage: {
      source: 'import',
      importId: row.id,
      format: row.format,
      files: uploaded,
      conversionJobId: job.jobId,
    },
    metrics: { conversion: meta },
    by: row.createdBy,
    requestId: undefined,
  };
}
