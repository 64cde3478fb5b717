import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { expect, test } from '@jest/globals';
import { WireWriter } from '../../src/grpc/wire-writer.ts';

const BYTES_WIRE = 2;

test('nested fields of any length are written as the generated code writes them', () => {
  const writer = new WireWriter();
  for (let length = 0; length < 3_000; length += 1) {
    const bytes = new Uint8Array(length).fill(length);
    writer.clear();
    writer.text(1, 'before');
    writer.packed(2, (outer) => {
      outer.packed(3, (inner) => inner.blob(4, bytes));
      outer.text(5, 'after');
    });
    const expected = new BinaryWriter()
      .tag(1, BYTES_WIRE)
      .string('before')
      .tag(2, BYTES_WIRE)
      .fork()
      .tag(3, BYTES_WIRE)
      .fork()
      .tag(4, BYTES_WIRE)
      .bytes(bytes)
      .join()
      .tag(5, BYTES_WIRE)
      .string('after')
      .join()
      .finish();
    expect(Buffer.compare(writer.written(), expected)).toBe(0);
  }
});

test('what was empty leaves no trace', () => {
  const writer = new WireWriter();
  writer.packed(1, () => undefined);
  expect(writer.written()).toHaveLength(0);
});
