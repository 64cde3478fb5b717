/** Element types by their TensorProto.DataType number: name, bits of one element, where the typed form keeps them. */
export type DataType = {
  readonly name: string;
  readonly bits: number;
  readonly store: 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data' | 'stringData';
  /** Values of the typed form for one element (2 for complex numbers). */
  readonly valuesPerElement: number;
};

const type = (name: string, bits: number, store: DataType['store'], valuesPerElement = 1): DataType => ({
  name,
  bits,
  store,
  valuesPerElement,
});

const dataTypes: ReadonlyMap<number, DataType> = new Map([
  [1, type('float32', 32, 'floatData')],
  [2, type('uint8', 8, 'int32Data')],
  [3, type('int8', 8, 'int32Data')],
  [4, type('uint16', 16, 'int32Data')],
  [5, type('int16', 16, 'int32Data')],
  [6, type('int32', 32, 'int32Data')],
  [7, type('int64', 64, 'int64Data')],
  [8, type('string', 0, 'stringData')],
  [9, type('bool', 8, 'int32Data')],
  [10, type('float16', 16, 'int32Data')],
  [11, type('float64', 64, 'doubleData')],
  [12, type('uint32', 32, 'uint64Data')],
  [13, type('uint64', 64, 'uint64Data')],
  [14, type('complex64', 64, 'floatData', 2)],
  [15, type('complex128', 128, 'doubleData', 2)],
  [16, type('bfloat16', 16, 'int32Data')],
  [17, type('float8e4m3fn', 8, 'int32Data')],
  [18, type('float8e4m3fnuz', 8, 'int32Data')],
  [19, type('float8e5m2', 8, 'int32Data')],
  [20, type('float8e5m2fnuz', 8, 'int32Data')],
  [21, type('uint4', 4, 'int32Data')],
  [22, type('int4', 4, 'int32Data')],
  [23, type('float4e2m1', 4, 'int32Data')],
  [24, type('float8e8m0', 8, 'int32Data')],
  [25, type('uint2', 2, 'int32Data')],
  [26, type('int2', 2, 'int32Data')],
]);

/** TensorProto.DataType FLOAT and STRING. */
export const FLOAT = 1;
export const STRING = 8;

/** The element type with this number, or undefined for one that the specification of IR 13 does not have. */
export function dataTypeOf(number: number): DataType | undefined {
  return dataTypes.get(number);
}

/** Element types that can be sent to and received from a served model. */
export const servableTypes = [
  'float32',
  'float64',
  'float16',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'bool',
  'string',
] as const;
export type TensorType = (typeof servableTypes)[number];

export function isServableType(name: string): name is TensorType {
  return (servableTypes as readonly string[]).includes(name);
}
