import type { JobView } from '@millrace/contracts';
import type { Context } from '../command.ts';
import { show } from '../command.ts';
import { bytes, fields } from '../format.ts';

type Meta = {
  opset?: number;
  sizes?: { onnxBytes: number };
  latencyMsP50?: number;
  parity?: { maxAbsDiff: number; samples: number; reference: string };
  export?: { family: string; parameters: number; nodes: number; fused: number };
  quantization?: {
    mode: string;
    agreement: number | null;
    rows: number;
    accuracy: { float32: number | null; quantised: number | null };
    bytes: { float32: number; quantised: number };
    latencyMsP50: { float32: number; quantised: number };
  };
};

const percent = (share: number | null): string =>
  share === null ? 'not known' : `${(100 * share).toFixed(1)} %`;

/** Shows what a conversion made and how it compares. */
export function showConversion(context: Context, job: JobView, out: string | undefined): void {
  const meta = (job.result?.meta ?? {}) as Meta;
  const { parity, export: made, quantization } = meta;
  show(context, job, () =>
    fields([
      ['job', job.id],
      [
        'network',
        made === undefined
          ? null
          : `${made.family}, ${made.parameters} parameters, ${made.nodes} nodes, ${made.fused} fused`,
      ],
      ['opset', String(meta.opset)],
      ['size', bytes(meta.sizes?.onnxBytes ?? 0)],
      ['latency', `${meta.latencyMsP50} ms a row`],
      [
        'parity',
        parity === undefined
          ? null
          : `${parity.maxAbsDiff.toExponential(1)} over ${parity.samples} samples (${parity.reference})`,
      ],
      ...(quantization === undefined ? [] : quantizationFields(quantization)),
      ['folder', out ?? null],
    ]),
  );
}

function quantizationFields(said: NonNullable<Meta['quantization']>): [string, string | null][] {
  const { accuracy, bytes: sizes, latencyMsP50: latency } = said;
  return [
    ['as', said.mode],
    ['decides', `alike on ${percent(said.agreement)} of ${said.rows} rows`],
    ['accuracy', `${percent(accuracy.quantised)}, as float32 ${percent(accuracy.float32)}`],
    ['float32', `${bytes(sizes.float32)}, ${latency.float32} ms a row`],
  ];
}
