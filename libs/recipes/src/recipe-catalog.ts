import { readFileSync } from 'node:fs';
import type { WorkerPool } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ParamsCheck } from './params-check.ts';
import { compileParamsCheck } from './params-check.ts';
import type { RecipeDescriptor } from './recipe-descriptor.ts';

type Params = Record<string, unknown>;

export type ResolvedRecipe = {
  version: string;
  /** The queue that has workers for it. */
  pool: WorkerPool;
  params: Params;
  datasetName: string;
  datasetParams: Params;
};

/** What the generator of a recipe's dataset is asked for. */
export type GeneratorParams = { version: string; pool: WorkerPool; params: Params };

export type RecipeCatalog = {
  list(): readonly RecipeDescriptor[];
  /** Fills in defaults and checks ranges. @throws AppError `unknown_recipe`, `invalid_params` */
  resolve(recipe: string, params: Params, datasetParams?: Params): ResolvedRecipe;
  /** The same for its dataset alone. @throws AppError `unknown_recipe`, `invalid_params` */
  resolveDataset(recipe: string, params: Params): GeneratorParams;
};

type Entry = {
  descriptor: RecipeDescriptor;
  checkParams: ParamsCheck;
  checkDatasetParams: ParamsCheck;
  /** Parameters that a training hands on to the dataset made for it. */
  shared: readonly string[];
};

/** Checks parameters before anything is queued, by the schemas that the recipes themselves publish. */
export function createRecipeCatalog(descriptors: readonly RecipeDescriptor[]): RecipeCatalog {
  const ajv = new Ajv2020({ useDefaults: true, strict: false });
  const entries = new Map<string, Entry>(
    descriptors.map((descriptor) => [
      descriptor.name,
      {
        descriptor,
        checkParams: compileParamsCheck(ajv, descriptor.params, 'Parameter'),
        checkDatasetParams: compileParamsCheck(ajv, descriptor.dataset.params, 'Dataset parameter'),
        // a dataset made for a training has the size that the training asks for; its seed is its own
        shared: Object.keys(descriptor.dataset.params.properties ?? {}).filter((key) => key !== 'seed'),
      },
    ]),
  );
  const find = (recipe: string): Entry => {
    const entry = entries.get(recipe);
    if (entry !== undefined) return entry;
    const names = [...entries.keys()].join(', ');
    throw new AppError('unknown_recipe', `There is no recipe '${recipe}'; there are: ${names}.`);
  };
  return {
    list: () => descriptors,
    resolve(recipe, given, datasetGiven = {}) {
      const { descriptor, checkParams, checkDatasetParams, shared } = find(recipe);
      const params = checkParams(given);
      const inherited = Object.fromEntries(
        shared.filter((key) => key in params).map((key) => [key, params[key]]),
      );
      return {
        version: descriptor.version,
        pool: descriptor.pool,
        params,
        datasetName: descriptor.dataset.generator,
        datasetParams: checkDatasetParams({ ...inherited, ...datasetGiven }),
      };
    },
    resolveDataset(recipe, given) {
      const { descriptor, checkDatasetParams } = find(recipe);
      return {
        version: descriptor.dataset.version,
        pool: descriptor.pool,
        params: checkDatasetParams(given),
      };
    },
  };
}

/** The recipes of this release, as the training worker describes them in proto/recipes.json. */
export function publishedRecipes(): RecipeCatalog {
  const file = new URL('../../../proto/recipes.json', import.meta.url);
  const { recipes } = JSON.parse(readFileSync(file, 'utf8')) as { recipes: RecipeDescriptor[] };
  return createRecipeCatalog(recipes);
}
