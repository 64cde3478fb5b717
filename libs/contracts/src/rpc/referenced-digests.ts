import Type from 'typebox';
import { Sha256 } from '../primitives.ts';

/** Digests in one question: their list stays under half a megabyte. */
export const DIGESTS_MAX = 5_000;

/** `millrace.rpc.<service>.referenced-digests`: which of these blobs does the service still refer to? */
export const referencedDigestsMethod = {
  request: Type.Object({ digests: Type.Array(Sha256, { maxItems: DIGESTS_MAX }) }),
  reply: Type.Object({ referenced: Type.Array(Sha256) }),
};
