import { AppError } from '@millrace/contracts';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import { Ajv2020 } from 'ajv/dist/2020.js';

/** One entry of proto/recipes.json: what a recipe of the training worker takes. */
export type RecipeDescriptor = {
  name: string;
  version: string;
  title: string;
  params: Record<string, unknown>;
  defaults: Record<string, unknown>;
  dataset: {
    generator: string;
    version: string;
    params: Record<string, unknown>;
    defaults: Record<string, unknown>;
  };
};

export type ResolvedRecipe = {
  version: string;
  params: Record<string, unknown>;
  datasetName: string;
  datasetParams: Record<string, unknown>;
};

export type RecipeCatalog = {
  list(): readonly RecipeDescriptor[];
  /** Fills in defaults and checks ranges. @throws AppError `unknown_recipe`, `invalid_params` */
  resolve(
    recipe: string,
    params: Record<string, unknown>,
    datasetParams?: Record<string, unknown>,
  ): ResolvedRecipe;
};

type Entry = { descriptor: RecipeDescriptor; params: ValidateFunction; dataset: ValidateFunction };

/** Checks recipe parameters before anything is queued, by the schemas that the recipes themselves publish. */
export function createRecipeCatalog(descriptors: readonly RecipeDescriptor[]): RecipeCatalog {
  const ajv = new Ajv2020({ useDefaults: true, allErrors: true, strict: false });
  const entries = new Map<string, Entry>(
    descriptors.map((descriptor) => [
      descriptor.name,
      {
        descriptor,
        params: ajv.compile(descriptor.params),
        dataset: ajv.compile(descriptor.dataset.params),
      },
    ]),
  );
  const check = (
    validate: ValidateFunction,
    given: Record<string, unknown>,
    what: string,
  ): Record<string, unknown> => {
    const params = structuredClone(given);
    if (validate(params)) return params;
    const [error] = validate.errors ?? [];
    const name = error?.params.additionalProperty ?? error?.instancePath.slice(1) ?? '';
    throw new AppError('invalid_params', `${what} '${String(name)}' ${error?.message ?? 'is wrong'}.`);
  };
  return {
    list: () => descriptors,
    resolve(recipe, given, datasetGiven = {}) {
      const entry = entries.get(recipe);
      if (entry === undefined) {
        const names = [...entries.keys()].join(', ');
        throw new AppError('unknown_recipe', `There is no recipe '${recipe}'; there are: ${names}.`);
      }
      const params = check(entry.params, given, 'Parameter');
      // a dataset made for a training has the size that the training asks for; its seed is its own
      const shared = Object.keys((entry.descriptor.dataset.params.properties as object | undefined) ?? {});
      const inherited = Object.fromEntries(
        shared.flatMap((key) => (key !== 'seed' && key in params ? [[key, params[key]]] : [])),
      );
      return {
        version: entry.descriptor.version,
        params,
        datasetName: entry.descriptor.dataset.generator,
        datasetParams: check(entry.dataset, { ...inherited, ...datasetGiven }, 'Dataset parameter'),
      };
    },
  };
}
