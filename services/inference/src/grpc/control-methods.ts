import type { JsonValue } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import { AppError } from '@millrace/contracts';
import type { ReadinessChecks } from '@millrace/service-kit';
import { servedName } from '../models/served-name.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import type { ServerControl } from '../server/server-control.ts';
import {
  EXTENSIONS,
  isServerReady,
  modelMetadata,
  notReady,
  SERVER_NAME,
  SERVER_VERSION,
} from '../server/server-metadata.ts';
import { controlOf } from '../server/tenant-control.ts';
import type { ModelRepositoryParameter } from './generated/inference/v2/grpc_inference_service_pb.ts';
import {
  GRPCInferenceService,
  ModelConfigSchema,
  ModelStatisticsSchema,
} from './generated/inference/v2/grpc_inference_service_pb.ts';
import { unaryMethod } from './protobuf-method.ts';
import type { Method } from './transport/grpc-server.ts';

/** An empty text on this wire says that there is none. */
const given = (text: string): string | undefined => (text === '' ? undefined : text);

function required(text: string, field: string): string {
  if (text === '') throw new AppError('invalid_request', `${field} is empty; name a model.`);
  return text;
}

/** The version that a load or unload names; there is no field for it, so it is a parameter. */
function versionParameter(parameters: Record<string, ModelRepositoryParameter>): string | undefined {
  const choice = parameters.version?.parameterChoice;
  if (choice === undefined) return undefined;
  if (choice.case === 'stringParam') return given(choice.value);
  if (choice.case === 'int64Param') return String(choice.value);
  throw new AppError('invalid_request', 'The parameter "version" must be a text or a whole number.');
}

function assertNoFiles(parameters: Record<string, ModelRepositoryParameter>): void {
  const override = Object.keys(parameters).find((key) => key === 'config' || key.startsWith('file:'));
  if (override === undefined) return;
  throw new AppError(
    'invalid_request',
    `"${override}" cannot be given here: a model is what was registered; upload a new version.`,
  );
}

/** The methods that carry no tensors: metadata, readiness, configuration, statistics and the repository. */
export function controlMethods(
  service: PredictionService,
  control: ServerControl,
  readiness: ReadinessChecks,
): [path: string, method: Method][] {
  const { method } = GRPCInferenceService;
  return [
    unaryMethod(method.serverLive, 'public', async () => ({ live: true })),
    unaryMethod(method.serverReady, 'public', async () => ({ ready: await isServerReady(readiness) })),
    unaryMethod(method.serverMetadata, 'models:read', async () => ({
      name: SERVER_NAME,
      version: SERVER_VERSION,
      extensions: [...EXTENSIONS],
    })),
    unaryMethod(method.modelReady, 'models:read', async ({ name, version }, { principal }) => {
      const served = servedName(principal.tenant, required(name, 'name'));
      await service.described(served, given(version)).catch((error: unknown) => {
        throw notReady(error);
      });
      return { ready: true };
    }),
    unaryMethod(method.modelMetadata, 'models:read', async ({ name, version }, { principal }) => {
      const served = servedName(principal.tenant, required(name, 'name'));
      const metadata = await modelMetadata(service, control, served, given(version));
      const tensors = (of: typeof metadata.inputs) =>
        of.map((tensor) => ({ ...tensor, shape: tensor.shape.map(BigInt) }));
      return { ...metadata, inputs: tensors(metadata.inputs), outputs: tensors(metadata.outputs) };
    }),
    unaryMethod(method.modelConfig, 'models:read', async ({ name, version }, { principal }) => {
      const config = await controlOf(control, principal.tenant).config(
        required(name, 'name'),
        given(version),
      );
      return { config: fromJson(ModelConfigSchema, config as unknown as JsonValue) };
    }),
    unaryMethod(method.modelStatistics, 'models:read', async ({ name, version }, { principal }) => {
      const own = controlOf(control, principal.tenant);
      const statistics = await own.statistics(given(name), given(version));
      // response_stats belongs to models with several answers to a request
      const options = { ignoreUnknownFields: true };
      return {
        modelStats: statistics.map((one) =>
          fromJson(ModelStatisticsSchema, one as unknown as JsonValue, options),
        ),
      };
    }),
    unaryMethod(method.repositoryIndex, 'models:read', async ({ ready }, { principal }) => {
      const index = await controlOf(control, principal.tenant).index();
      return { models: ready ? index.filter(({ state }) => state === 'READY') : index };
    }),
    unaryMethod(method.repositoryModelLoad, 'models:write', async (request, { principal }) => {
      const name = required(request.modelName || request.repositoryName, 'model_name');
      assertNoFiles(request.parameters);
      await controlOf(control, principal.tenant).load(name, versionParameter(request.parameters));
      return { modelName: name, isLoaded: true };
    }),
    unaryMethod(method.repositoryModelUnload, 'models:write', async (request, { principal }) => {
      const name = required(request.modelName || request.repositoryName, 'model_name');
      await controlOf(control, principal.tenant).unload(name, versionParameter(request.parameters));
      return { modelName: name, isUnloaded: true };
    }),
  ];
}
