import { bundleFiles } from '@millrace/integrity';
import type { Json, TamperCase, TamperSetting } from './bundle-edits.ts';
import { documentOf, edited, envelopeOf, payloadOf, replaced, resigned, without } from './bundle-edits.ts';
import type { BundleEntry } from './bundle-fixture.ts';

/** Ways to let a bundle pass for another version than it is. */
export const ofIdentities: TamperCase[] = [
  {
    name: 'no statement of which version it is',
    code: 'identity_missing',
    make: (s) => without(s, bundleFiles.identity),
  },
  {
    name: 'the statement of which version an older one is',
    code: 'manifest_mismatch',
    make: (s) => replaced(s, s.older.find(({ path }) => path === bundleFiles.identity) as BundleEntry),
  },
  {
    name: 'another model’s name in bundle.json',
    code: 'manifest_mismatch',
    make: (s) => edited(s, bundleFiles.about, (about) => ({ ...about, model: 'other' })),
  },
  {
    name: 'the statement of which version it is by another key',
    code: 'signature_key_unknown',
    make: (s) => resigned(s, s.stranger, () => undefined, bundleFiles.identity),
  },
  {
    name: 'a newer ordinal in the statement of which version it is',
    code: 'signature_invalid',
    make: (s) =>
      edited(s, bundleFiles.identity, (bundle) => {
        const payload = payloadOf(bundle);
        Object.assign(payload.predicate, { ordinal: 99 });
        envelopeOf(bundle).payload = Buffer.from(JSON.stringify(payload)).toString('base64');
      }),
  },
  {
    name: 'measurements in the place of which version it is',
    code: 'signature_malformed',
    make: (s) => edited(s, bundleFiles.identity, () => documentOf(s, bundleFiles.meta)),
  },
  // the same bytes may have been registered as other versions: each statement is genuine and of this very package
  ...(
    [
      ['another model', { model: 'other' }],
      ['another label', { version: 'v1' }],
      ['another version of that name', { modelVersionId: '0190c0de-0000-7000-8000-00000000000f' }],
      ['another file to serve', { servingFile: 'evil.onnx' }],
    ] as [string, Json][]
  ).map(([name, change]) => ({
    name: `the true key's statement of ${name}`,
    code: 'manifest_mismatch',
    make: (s: TamperSetting) =>
      resigned(s, s.signer, ({ predicate }) => void Object.assign(predicate, change), bundleFiles.identity),
  })),
];
