import type { ResolvedVersion, ResolveVersionRequest } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { LoadedModel } from '../models/model-store.ts';
import { servedNameOf } from '../models/served-name.ts';
import type { PredictionService } from '../predictions/prediction.service.ts';
import type { Caller } from '../rollouts/router.ts';

/** Ids whose names are remembered; far more than are served at once. */
const NAMES_MAX = 10_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Finds models by their id, which subjects carry because a name may hold any character. Throws `bad_id`,
 * `model_not_found` and what PredictionService.model throws.
 */
export type ModelFinder = (
  modelId: string,
  version: string | undefined,
  caller: Caller,
) => Promise<LoadedModel>;

/** `ask` is the registry's `resolve`; `loaded` are the models in memory, which need no question. */
export function createModelFinder(
  service: Pick<PredictionService, 'model'>,
  loaded: () => readonly LoadedModel[],
  ask: (request: ResolveVersionRequest) => Promise<ResolvedVersion>,
): ModelFinder {
  const names = new Map<string, string>();

  async function nameOf(modelId: string, version: string | undefined): Promise<string> {
    const held = names.get(modelId);
    if (held !== undefined) return held;
    const known = loaded().find((model) => model.version.modelId === modelId)?.version;
    const name = servedNameOf(known ?? (await ask({ modelId, ...(version !== undefined && { version }) })));
    names.set(modelId, name);
    if (names.size > NAMES_MAX) names.delete(names.keys().next().value as string);
    return name;
  }

  return async (modelId, version, caller) => {
    if (!UUID.test(modelId))
      throw new AppError('bad_id', 'The last part of the subject must be the id of a model.');
    const model = await service.model(await nameOf(modelId, version), version, caller);
    if (model.version.modelId === modelId) return model;
    names.delete(modelId);
    throw new AppError('model_not_found', `The name of model ${modelId} belongs to another model now.`);
  };
}
