import { bundleFiles, IN_TOTO_PAYLOAD_TYPE, MODEL_FOLDER, sha256Hex } from '@millrace/integrity';
import type { Json, TamperCase, TamperSetting } from './bundle-edits.ts';
import {
  added,
  documentOf,
  edited,
  envelopeOf,
  filesOf,
  firstResource,
  flipped,
  payloadOf,
  replaced,
  resigned,
  without,
} from './bundle-edits.ts';
import type { BundleEntry } from './bundle-fixture.ts';
import { ofIdentities } from './identity-cases.ts';

const ofFiles: TamperCase[] = [
  ...([0, 1] as const).flatMap((index) => [
    {
      name: `the first bit of file ${index} flipped`,
      code: 'digest_mismatch',
      make: (s: TamperSetting) => {
        const file = filesOf(s)[index];
        return replaced(s, { ...file, bytes: flipped(file.bytes, 0) });
      },
    },
    {
      name: `the last bit of file ${index} flipped`,
      code: 'digest_mismatch',
      make: (s: TamperSetting) => {
        const file = filesOf(s)[index];
        return replaced(s, { ...file, bytes: flipped(file.bytes, file.bytes.length - 1) });
      },
    },
  ]),
  {
    name: 'a file cut short',
    code: 'digest_mismatch',
    make: (s) => replaced(s, { ...filesOf(s)[0], bytes: filesOf(s)[0].bytes.subarray(0, -1) }),
  },
  {
    name: 'a byte more at the end of a file',
    code: 'digest_mismatch',
    make: (s) => replaced(s, { ...filesOf(s)[0], bytes: Buffer.concat([filesOf(s)[0].bytes, Buffer.of(0)]) }),
  },
  {
    name: 'an emptied file',
    code: 'digest_mismatch',
    make: (s) => replaced(s, { ...filesOf(s)[1], bytes: Buffer.alloc(0) }),
  },
  {
    name: 'two files with each other’s bytes',
    code: 'digest_mismatch',
    make: (s) => {
      const [a, b] = filesOf(s);
      return s.entries.map((entry) =>
        entry === a ? { ...a, bytes: b.bytes } : entry === b ? { ...b, bytes: a.bytes } : entry,
      );
    },
  },
  { name: 'a file missing', code: 'manifest_mismatch', make: (s) => without(s, filesOf(s)[1].path) },
  { name: 'a file too many', code: 'manifest_mismatch', make: (s) => added(s, `${MODEL_FOLDER}evil.so`) },
  {
    name: 'a renamed file',
    code: 'manifest_mismatch',
    make: (s) => [...without(s, filesOf(s)[1].path), { ...filesOf(s)[1], path: `${MODEL_FOLDER}renamed` }],
  },
  {
    name: 'a name in another case beside the true one',
    code: 'invalid_artifact_path',
    make: (s) => added(s, `${MODEL_FOLDER}${filesOf(s)[0].path.slice(MODEL_FOLDER.length).toUpperCase()}`),
  },
  {
    name: 'two names that are one in Unicode',
    code: 'invalid_artifact_path',
    make: (s) => [
      ...added(s, `${MODEL_FOLDER}caf\u00e9`),
      { path: `${MODEL_FOLDER}cafe\u0301`, bytes: Buffer.from('evil') },
    ],
  },
];

const ofContainers: TamperCase[] = [
  {
    name: 'a symbolic link instead of a file',
    code: 'invalid_bundle',
    make: (s) => [...without(s, filesOf(s)[0].path), { ...filesOf(s)[0], type: '2', target: '/etc/passwd' }],
  },
  {
    name: 'a symbolic link to a folder',
    code: 'invalid_bundle',
    make: (s) => added(s, `${MODEL_FOLDER}more`, { type: '2', target: '/etc' }),
  },
  {
    name: 'a hard link',
    code: 'invalid_bundle',
    forms: ['tar'],
    make: (s) => added(s, `${MODEL_FOLDER}link`, { type: '1', target: '/etc/passwd' }),
  },
  {
    name: 'a device',
    code: 'invalid_bundle',
    forms: ['tar'],
    make: (s) => added(s, `${MODEL_FOLDER}zero`, { type: '3' }),
  },
  ...['../evil', 'model/../../evil', '/evil', 'model//evil', 'model/..\\evil', 'C:/evil'].map((path) => ({
    name: `the path ${path}`,
    code: 'invalid_artifact_path',
    forms: ['tar'] as const,
    make: (s: TamperSetting) => added(s, path),
  })),
  {
    name: 'a file twice',
    code: 'invalid_artifact_path',
    forms: ['tar'],
    make: (s) => added(s, filesOf(s)[0].path),
  },
  { name: 'an unknown document', code: 'invalid_bundle', make: (s) => added(s, 'install.sh') },
  ...[
    bundleFiles.about,
    bundleFiles.manifest,
    bundleFiles.signature,
    bundleFiles.provenance,
    bundleFiles.history,
  ].map((path) => ({
    name: `no ${path}`,
    code: 'invalid_bundle',
    make: (s: TamperSetting) => without(s, path),
  })),
];

const ofManifests: TamperCase[] = [
  {
    name: 'another size in the manifest',
    code: 'manifest_mismatch',
    make: (s) =>
      edited(s, bundleFiles.manifest, ({ files }) => {
        const list = files as { sizeBytes: number }[];
        if (list[0] !== undefined) list[0].sizeBytes += 1;
      }),
  },
  {
    name: 'a file twice in the manifest',
    code: 'invalid_bundle',
    make: (s) =>
      edited(s, bundleFiles.manifest, ({ files }) => {
        const list = files as Json[];
        list.push({ ...list[0] });
      }),
  },
  {
    name: 'a path out of the folder in the manifest',
    code: 'invalid_bundle',
    make: (s) =>
      edited(
        s,
        bundleFiles.manifest,
        ({ files }) => void Object.assign((files as Json[])[0] as Json, { path: '../evil' }),
      ),
  },
  {
    name: 'a manifest without end',
    code: 'invalid_bundle',
    make: (s) => replaced(s, { path: bundleFiles.manifest, bytes: Buffer.alloc(33 * 1024 * 1024, 0x20) }),
  },
  {
    name: 'another package digest in bundle.json',
    code: 'manifest_mismatch',
    make: (s) => edited(s, bundleFiles.about, (about) => ({ ...about, packageDigest: sha256Hex('x') })),
  },
  {
    name: 'an older version under a newer name',
    code: 'manifest_mismatch',
    make: (s) =>
      edited({ ...s, entries: s.older }, bundleFiles.about, (about) => ({
        ...about,
        version: documentOf(s, bundleFiles.about).version,
      })),
  },
];

const ofSignatures: TamperCase[] = [
  {
    name: 'a signature by another key',
    code: 'signature_key_unknown',
    make: (s) => resigned(s, s.stranger, () => undefined),
  },
  {
    name: 'a signature by another key that claims to be the true one',
    code: 'signature_invalid',
    make: async (s) => {
      const { verificationMaterial } = documentOf(s, bundleFiles.signature);
      const forged = await resigned(s, s.stranger, () => undefined);
      return edited({ ...s, entries: forged }, bundleFiles.signature, (bundle) => ({
        ...bundle,
        verificationMaterial,
      }));
    },
  },
  {
    name: 'a manifest edited after it was signed',
    code: 'signature_invalid',
    make: (s) =>
      edited(s, bundleFiles.signature, (bundle) => {
        const payload = payloadOf(bundle);
        firstResource(payload).digest = sha256Hex('evil');
        envelopeOf(bundle).payload = Buffer.from(JSON.stringify(payload)).toString('base64');
      }),
  },
  {
    name: 'a manifest edited and signed by another key',
    code: 'signature_key_unknown',
    make: (s) =>
      resigned(s, s.stranger, (statement) =>
        Object.assign(firstResource(statement), { digest: sha256Hex('evil') }),
      ),
  },
  {
    name: 'the signature of an older version',
    code: 'digest_mismatch',
    make: (s) => replaced(s, s.older.find(({ path }) => path === bundleFiles.signature) as BundleEntry),
  },
  {
    name: 'a signature cut short',
    code: 'signature_malformed',
    make: (s) => {
      const text = JSON.stringify(documentOf(s, bundleFiles.signature));
      return replaced(s, { path: bundleFiles.signature, bytes: Buffer.from(text.slice(0, text.length / 2)) });
    },
  },
  ...(
    [
      ['an empty signature', (envelope) => ({ ...envelope, signatures: [{ sig: '', keyid: '' }] })],
      [
        'two signatures',
        (envelope) => ({ ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] }),
      ],
      ['another payload type', (envelope) => ({ ...envelope, payloadType: `${IN_TOTO_PAYLOAD_TYPE}x` })],
      ['no envelope', () => undefined],
    ] as [string, (envelope: ReturnType<typeof envelopeOf>) => unknown][]
  ).map(([name, change]) => ({
    name,
    code: 'signature_malformed',
    make: (s: TamperSetting) =>
      edited(s, bundleFiles.signature, (bundle) => ({ ...bundle, dsseEnvelope: change(envelopeOf(bundle)) })),
  })),
  ...(
    [
      ['another predicate type', (statement) => Object.assign(statement, { predicateType: 'urn:other' })],
      [
        'another digest algorithm',
        (statement) => Object.assign(firstResource(statement), { algorithm: 'md5' }),
      ],
      [
        'a digest of another length',
        (statement) => Object.assign(firstResource(statement), { digest: 'ab'.repeat(20) }),
      ],
      [
        'a signed path out of the folder',
        (statement) => Object.assign(firstResource(statement), { name: '../a' }),
      ],
      [
        'a file signed twice',
        (statement) => statement.predicate.resources.unshift({ ...firstResource(statement) }),
      ],
      [
        'a root digest of other files',
        (statement) => Object.assign(statement.subject[0] as Json, { digest: { sha256: sha256Hex('x') } }),
      ],
      [
        'links allowed',
        (statement) =>
          Object.assign((statement.predicate as Json).serialization as Json, { allow_symlinks: true }),
      ],
    ] as [string, (statement: ReturnType<typeof payloadOf>) => unknown][]
  ).map(([name, change]) => ({
    name: `${name}, signed by the true key`,
    code: 'signature_malformed',
    make: (s: TamperSetting) => resigned(s, s.signer, (statement) => void change(statement)),
  })),
];

const ofStatements: TamperCase[] = [
  ...[bundleFiles.provenance, bundleFiles.meta].map((path) => ({
    name: `${path} of another package`,
    code: 'manifest_mismatch',
    make: (s: TamperSetting) => replaced(s, s.older.find((entry) => entry.path === path) as BundleEntry),
  })),
  {
    name: 'measurements in the place of the provenance',
    code: 'signature_malformed',
    make: (s) => edited(s, bundleFiles.provenance, () => documentOf(s, bundleFiles.meta)),
  },
  ...(
    [
      [
        'an edited row of the history',
        (rows) => void Object.assign(rows.at(-1)?.entry as Json, { by: 'nobody' }),
      ],
      ['a row cut from the end of the history', (rows) => void rows.pop()],
      ['a row cut from the beginning of the history', (rows) => void rows.shift()],
      ['no row of the history', (rows) => void rows.splice(0)],
    ] as [string, (rows: Json[]) => void][]
  ).map(([name, change]) => ({
    name,
    code: 'log_chain_broken',
    make: (s: TamperSetting) => edited(s, bundleFiles.history, ({ rows }) => change(rows as Json[])),
  })),
  {
    name: 'the history of an older version',
    code: 'manifest_mismatch',
    make: (s) =>
      [bundleFiles.history, bundleFiles.historyStatement].reduce<BundleEntry[]>(
        (entries, path) =>
          replaced({ ...s, entries }, s.older.find((entry) => entry.path === path) as BundleEntry),
        [...s.entries],
      ),
  },
];

/** Ways to change an exported bundle; every loader refuses each that it can meet. */
export const tamperCases: readonly TamperCase[] = [
  ...ofFiles,
  ...ofContainers,
  ...ofManifests,
  ...ofSignatures,
  ...ofStatements,
  ...ofIdentities,
];
