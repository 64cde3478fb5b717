import { AppError } from '@millrace/contracts';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import { Ajv2020 } from 'ajv/dist/2020.js';

/** One entry of proto/recipes.json: what a recipe of the training worker takes. */
export type RecipeDescriptor = {
  name: string;
  dataset: { generator: string; version: string; params: Record<string, unknown> };
};

export type GeneratorCatalog = {
  /** Params with the defaults filled in. @throws AppError `unknown_recipe`, `invalid_params` */
  resolve(
    recipe: string,
    params: Record<string, unknown>,
  ): { recipeVersion: string; params: Record<string, unknown> };
  names(): string[];
};

/** Checks generator params before a job is queued. */
export function createGeneratorCatalog(descriptors: readonly RecipeDescriptor[]): GeneratorCatalog {
  const ajv = new Ajv2020({ useDefaults: true, allErrors: true, strict: false });
  const byName = new Map<string, { descriptor: RecipeDescriptor; validate: ValidateFunction }>(
    descriptors.map((descriptor) => [
      descriptor.name,
      { descriptor, validate: ajv.compile(descriptor.dataset.params) },
    ]),
  );
  return {
    names: () => [...byName.keys()],
    resolve(recipe, given) {
      const entry = byName.get(recipe);
      if (entry === undefined) {
        throw new AppError(
          'unknown_recipe',
          `There is no recipe '${recipe}'; there are: ${[...byName.keys()].join(', ')}.`,
        );
      }
      const params = structuredClone(given);
      if (!entry.validate(params)) {
        const [error] = entry.validate.errors ?? [];
        const where = error?.params.additionalProperty ?? error?.instancePath ?? '';
        throw new AppError(
          'invalid_params',
          `Generator parameter ${String(where)} ${error?.message ?? 'is wrong'}.`,
        );
      }
      return { recipeVersion: entry.descriptor.dataset.version, params };
    },
  };
}
