import type { TensorProto } from './generated/onnx_pb.ts';
import { rangeOf } from './outline.ts';
import type { ByteRange, OnnxSource } from './source.ts';

/** Where the raw data of a model's tensors is: its outline says which range of the source each is. */
export type RawData = { readonly source: OnnxSource; readonly ranges: readonly ByteRange[] };

/** The range of a tensor's raw data; undefined for one that has none. */
export function rawRangeOf({ rawData }: TensorProto, { ranges }: RawData): ByteRange | undefined {
  return rawData.byteLength === 0 ? undefined : rangeOf(rawData, ranges);
}
