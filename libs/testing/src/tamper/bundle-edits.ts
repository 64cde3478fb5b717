import type { Signer } from '@millrace/integrity';
import { bundleFiles, MODEL_FOLDER, signStatement } from '@millrace/integrity';
import type { BundleEntry } from './bundle-fixture.ts';

/** A JSON document of a bundle. */
export type Json = Record<string, unknown>;
type Statement = Parameters<typeof signStatement>[0];
type Form = 'folder' | 'tar';

/** What the cases are made with: a good bundle of one key, another bundle of the same key, and another key. */
export type TamperSetting = {
  readonly entries: readonly BundleEntry[];
  /** An older version of the same model, signed by the same key. */
  readonly older: readonly BundleEntry[];
  readonly signer: Signer;
  readonly stranger: Signer;
};

/** A way to change a bundle, and the code by which it is refused. */
export type TamperCase = {
  readonly name: string;
  readonly code: string;
  /** Forms that it can have; both unless given. */
  readonly forms?: readonly Form[];
  make(setting: TamperSetting): BundleEntry[] | Promise<BundleEntry[]>;
};

/** Whether an entry is of the package. */
export const isModelFile = ({ path }: BundleEntry): boolean => path.startsWith(MODEL_FOLDER);

/** The first two files of the package; throws when there are fewer. */
export function filesOf({ entries }: TamperSetting): [BundleEntry, BundleEntry] {
  const [first, second] = entries.filter(isModelFile);
  if (first === undefined || second === undefined)
    throw new Error('The cases need two files in the package.');
  return [first, second];
}

/** The bundle without the entry of a path. */
export const without = ({ entries }: TamperSetting, path: string) =>
  entries.filter((entry) => entry.path !== path);
/** The bundle with another entry in the place of the one of its path. */
export const replaced = (setting: TamperSetting, entry: BundleEntry) => [
  ...without(setting, entry.path),
  entry,
];
/** The bundle with one entry more. */
export const added = ({ entries }: TamperSetting, path: string, more: Partial<BundleEntry> = {}) => [
  ...entries,
  { path, bytes: Buffer.from('evil'), ...more },
];

/** A copy of bytes of which one bit is another. */
export function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
  return changed;
}

/** A document of the bundle, read as JSON. */
export function documentOf({ entries }: Pick<TamperSetting, 'entries'>, path: string): Json {
  const entry = entries.find((one) => one.path === path);
  return JSON.parse(entry?.bytes.toString() ?? 'null') as Json;
}

/** The bundle with a document changed in place, or by what `change` gives. */
export function edited(
  setting: TamperSetting,
  path: string,
  change: (document: Json) => unknown,
): BundleEntry[] {
  const value = documentOf(setting, path);
  const made = change(value) ?? value;
  return replaced(setting, { path, bytes: Buffer.from(JSON.stringify(made)) });
}

/** The DSSE envelope of a signature. */
export const envelopeOf = (bundle: Json) =>
  bundle.dsseEnvelope as Json & { payload: string; signatures: Json[] };

/** The statement that a signature signs. */
export const payloadOf = (bundle: Json) =>
  JSON.parse(Buffer.from(envelopeOf(bundle).payload, 'base64').toString()) as Statement & {
    predicate: { resources: Json[] };
  };

/** The signed statement of the model, or another, changed and signed again: only what it says is wrong. */
export async function resigned(
  setting: TamperSetting,
  by: Signer,
  change: (statement: ReturnType<typeof payloadOf>) => unknown,
  path: string = bundleFiles.signature,
): Promise<BundleEntry[]> {
  const statement = payloadOf(documentOf(setting, path));
  change(statement);
  const bundle = await signStatement(statement, by);
  return replaced(setting, { path, bytes: Buffer.from(JSON.stringify(bundle)) });
}

/** The first file in the signed statement of the model. */
export const firstResource = (statement: ReturnType<typeof payloadOf>): Json =>
  statement.predicate.resources[0] as Json;
