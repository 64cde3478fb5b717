import { Sha256 } from '@millrace/contracts';
import { encodeCursor, pageOf } from '@millrace/service-kit';
import type { Static } from 'typebox';
import Type from 'typebox';
import type { PartAddress } from './part-transfer.ts';
import type { PartFile, PartUploadRow } from './part-upload.columns.ts';

/** Addresses in one answer. */
const ADDRESSES_MAX = 100;
/** Body of a request that begins an upload: ten thousand digests and the names of files (bytes). */
export const BEGIN_BODY_BYTES_MAX = 3 * 1024 * 1024;
/** How long a request may wait for an upload to be taken in; a proxy waits a minute for a silent server (ms). */
export const COMPLETE_WAIT_MS = 50_000;

/** Where to PUT a part. */
export const PartAddressView = Type.Object({
  file: Type.String(),
  number: Type.Integer(),
  sizeBytes: Type.Integer(),
  url: Type.String({ description: 'PUT the bytes of the part here.' }),
  headers: Type.Record(Type.String(), Type.String(), { description: 'Send these with it.' }),
  isStored: Type.Boolean({ description: 'The object store has this part: it need not be sent again.' }),
});
export const PartAddresses = pageOf(PartAddressView);

/** A file of an upload as it is shown. */
export const PartFileView = Type.Object({
  name: Type.String(),
  sizeBytes: Type.Integer(),
  sha256: Sha256,
  parts: Type.Integer(),
});

/** Where a page of addresses begins. */
export const PartPlace = Type.Object({ part: Type.Integer({ minimum: 0 }) });

export function toFileViews(files: readonly PartFile[]): Static<typeof PartFileView>[] {
  return files.map(({ name, sizeBytes, sha256, partDigests }) => ({
    name,
    sizeBytes,
    sha256,
    parts: partDigests.length,
  }));
}

/** A page of addresses from part `from` on; `read` gives those of a range. */
export async function addressPage(
  row: Pick<PartUploadRow, 'files'>,
  from: number,
  read: (from: number, to: number) => Promise<PartAddress[]>,
) {
  const items = await read(from, from + ADDRESSES_MAX);
  const total = row.files.reduce((sum, { partDigests }) => sum + partDigests.length, 0);
  const end = from + items.length;
  return { items, nextCursor: end < total ? encodeCursor({ part: end }) : null };
}
