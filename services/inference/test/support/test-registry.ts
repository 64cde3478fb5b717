import { createHash } from 'node:crypto';
import type { Bus } from '@millrace/bus';
import { serveRpc } from '@millrace/bus';
import type { ResolvedVersion } from '@millrace/contracts';
import { AppError, newId, resolveVersionMethod } from '@millrace/contracts';
import {
  createFileSigner,
  createManifest,
  generateKeyPair,
  packageDigest,
  signModel,
  signStatement,
  versionIdentityStatement,
} from '@millrace/integrity';
import { PLATFORM_TENANT } from '@millrace/service-kit';
import type { Storage } from '@millrace/storage';
import { tenantOf } from '../../src/models/served-name.ts';

/** Answers `registry.resolve` with packages that are really signed and really in S3. */
export type TestRegistry = {
  readonly publicKeyPem: string;
  /** Signs and stores a package of one graph and makes it known. */
  add(
    model: string,
    graph: Buffer,
    options?: {
      /** Whose model it is; the platform's own tenant when absent. */
      tenant?: string;
      version?: string;
      stage?: ResolvedVersion['stage'];
      /** More files of the package. */
      files?: Record<string, Buffer>;
      /**
       * `tensorflow`: the graph is the model.json of a TF.js model, its weights are among `files`; `ensemble`: what is
       * served is the description among `files`, and the graph makes the package one of its own.
       */
      framework?: keyof typeof SERVING_FILES;
    },
  ): Promise<ResolvedVersion>;
  /** Changes what is answered for a version from now on. */
  change(modelVersionId: string, patch: Partial<ResolvedVersion>): void;
  /** Questions answered so far. */
  asked(): number;
  stop(): Promise<void>;
};

const SERVING_FILES = { onnx: 'model.onnx', tensorflow: 'model.json', ensemble: 'ensemble.json' } as const;

export function startTestRegistry(bus: Bus, storage: Storage): TestRegistry {
  const keys = generateKeyPair();
  const signer = createFileSigner(keys.privateKeyPem);
  const versions: ResolvedVersion[] = [];
  let asked = 0;
  const find = (tenant: string | undefined, model: string, label: string | undefined): ResolvedVersion => {
    const own = versions.filter(
      (version) => version.model === model && tenantOf(version) === (tenant ?? PLATFORM_TENANT),
    );
    if (own.length === 0) throw new AppError('model_not_found', `No model is called "${model}".`);
    const named =
      label === undefined
        ? (own.findLast((version) => version.stage === 'production') ?? own.at(-1))
        : own.find((version) => version.version === label || String(version.ordinal) === label);
    if (named === undefined) throw new AppError('version_not_found', `"${model}" has no version "${label}".`);
    return named;
  };
  const rpc = serveRpc(bus, 'registry', 'resolve', resolveVersionMethod, async (request) => {
    asked += 1;
    if (request.modelVersionId === undefined) {
      const named = versions.find(({ modelId }) => modelId === request.modelId);
      return find(request.tenant ?? named?.tenant, request.model ?? named?.model ?? '', request.version);
    }
    const version = versions.find(({ modelVersionId }) => modelVersionId === request.modelVersionId);
    if (version === undefined) throw new AppError('version_not_found', 'No such version.');
    return version;
  });
  return {
    publicKeyPem: keys.publicKeyPem,
    async add(model, graph, { tenant, version, stage = 'development', files = {}, framework = 'onnx' } = {}) {
      const servingFile = SERVING_FILES[framework];
      const graphPath = framework === 'ensemble' ? SERVING_FILES.onnx : servingFile;
      const stored = Object.entries({ [graphPath]: graph, ...files }).map(async ([path, bytes]) => {
        const { sha256, sizeBytes } = await storage.putBlob(bytes);
        return { path, sha256, sizeBytes };
      });
      const manifest = createManifest(await Promise.all(stored));
      const others = versions.filter((other) => other.model === model && other.tenant === tenant);
      const ordinal = others.length + 1;
      const added: ResolvedVersion = {
        modelVersionId: newId(),
        modelId: others[0]?.modelId ?? newId(),
        ...(tenant !== undefined && { tenant }),
        model,
        version: version ?? `v${ordinal}`,
        ordinal,
        stage,
        framework,
        packageDigest: packageDigest(manifest),
        manifest: { files: [...manifest.files] },
        signature: (await signModel(manifest, signer, model)) as unknown as Record<string, unknown>,
        servingFile,
      };
      const identity = versionIdentityStatement({ ...added, tenant: tenant ?? PLATFORM_TENANT });
      added.identity = (await signStatement(identity, signer)) as unknown as Record<string, unknown>;
      versions.push(added);
      return added;
    },
    change(modelVersionId, patch) {
      const version = versions.find((candidate) => candidate.modelVersionId === modelVersionId);
      if (version !== undefined) Object.assign(version, patch);
    },
    asked: () => asked,
    stop: () => rpc.stop(),
  };
}

/** SHA-256 of bytes as hex. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
