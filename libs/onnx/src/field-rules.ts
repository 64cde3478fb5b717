import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';

/** What the wire must show of a known field. */
export type FieldRule = {
  readonly wireType: WireType;
  readonly message: DescMessage | undefined;
  readonly isMetadata: boolean;
  /** Bytes of one value in the packed form, 0 for varints, undefined where there is no packed form. */
  readonly packedBytes: number | undefined;
};

const rulesOf = new WeakMap<DescMessage, Map<number, FieldRule>>();

/** The rules of a message's fields, by their numbers. */
export function fieldRules(desc: DescMessage): Map<number, FieldRule> {
  let rules = rulesOf.get(desc);
  if (rules === undefined) {
    rules = new Map(desc.fields.map((field) => [field.number, ruleOf(field)]));
    rulesOf.set(desc, rules);
  }
  return rules;
}

function ruleOf(field: DescField): FieldRule {
  const isMetadata = field.name === 'metadata_props';
  if (field.message !== undefined) {
    return { wireType: WireType.LengthDelimited, message: field.message, isMetadata, packedBytes: undefined };
  }
  const wireType = wireTypeOf(field.scalar);
  const packedBytes = { [WireType.Varint]: 0, [WireType.Bit32]: 4, [WireType.Bit64]: 8 }[wireType as number];
  return {
    wireType,
    message: undefined,
    isMetadata,
    packedBytes: field.fieldKind === 'list' ? packedBytes : undefined,
  };
}

function wireTypeOf(scalar: ScalarType | undefined): WireType {
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return WireType.LengthDelimited;
  if (scalar === ScalarType.FLOAT) return WireType.Bit32;
  return scalar === ScalarType.DOUBLE ? WireType.Bit64 : WireType.Varint;
}
