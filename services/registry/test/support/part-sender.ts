import { createHash, randomFillSync } from 'node:crypto';
import { expect } from '@jest/globals';
import { sha256Hex } from '@millrace/integrity';
import { getJson, postJson } from './registry-stack.ts';

const MIB = 1024 * 1024;
const PART_BYTES = 5 * MIB;

type Json = Record<string, unknown>;
/** A file to upload; only what is read of it is in memory. */
export type Source = { name: string; sizeBytes: number; read(start: number, end: number): Buffer };
/** Where a part is to be sent. */
export type Address = {
  file: string;
  number: number;
  sizeBytes: number;
  url: string;
  headers: Record<string, string>;
};
/** An upload that has begun. */
export type Begun = Json & { id: string; parts: { items: Address[]; nextCursor: string | null } };

/** Bytes in memory as a file. */
export const bufferSource = (name: string, bytes: Buffer): Source => ({
  name,
  sizeBytes: bytes.length,
  read: (start, end) => bytes.subarray(start, end),
});

/** A file of any size that is never in memory: one block, again and again, each time with its number. */
export function repeated(name: string, sizeBytes: number): Source {
  const block = randomFillSync(Buffer.alloc(MIB));
  return {
    name,
    sizeBytes,
    read(start, end) {
      const piece = Buffer.alloc(end - start);
      for (let at = 0; at < piece.length; at += MIB) {
        block.copy(piece, at);
        piece.writeUInt32LE((start + at) / MIB, at);
      }
      return piece;
    },
  };
}

function describeFile({ name, sizeBytes, read }: Source): Json {
  const whole = createHash('sha256');
  const partDigests: string[] = [];
  for (let start = 0; start < sizeBytes; start += PART_BYTES) {
    const part = read(start, Math.min(sizeBytes, start + PART_BYTES));
    whole.update(part);
    partDigests.push(sha256Hex(part));
  }
  return { name, sizeBytes, sha256: whole.digest('hex'), partSizeBytes: PART_BYTES, partDigests };
}

/** Begins an upload; `change` alters what is said of a file. */
export async function beginUpload(
  origin: string,
  fields: Json,
  sources: readonly Source[],
  change: (file: Json) => Json = (file) => file,
) {
  const files = sources.map((source) => change(describeFile(source)));
  const { status, body } = await postJson(`${origin}/v1/uploads`, { framework: 'onnx', ...fields, files });
  return { status, body: body as Begun };
}

/** Sends a part to its address and gives the status. */
export async function put(address: Address, body: Buffer): Promise<number> {
  const response = await fetch(address.url, {
    method: 'PUT',
    body: body as Buffer<ArrayBuffer>,
    headers: address.headers,
  });
  await response.arrayBuffer();
  return response.status;
}

/** Sends all parts. */
export async function sendParts(origin: string, begun: Begun, sources: readonly Source[]): Promise<void> {
  for (let page = begun.parts; ; ) {
    for (const address of page.items) {
      const source = sources.find(({ name }) => name === address.file);
      const start = (address.number - 1) * PART_BYTES;
      expect(await put(address, source?.read(start, start + address.sizeBytes) ?? Buffer.alloc(0))).toBe(200);
    }
    if (page.nextCursor === null) return;
    const next = await getJson(`${origin}/v1/uploads/${begun.id}/parts?cursor=${page.nextCursor}`);
    page = next.body as unknown as Begun['parts'];
  }
}
