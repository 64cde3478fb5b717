import type { WorkerPool } from '@millrace/contracts';

/** A JSON Schema (2020-12) of named parameters, with their defaults in it. */
type ParamsSchema = Record<string, unknown>;

/** One entry of proto/recipes.json: what a recipe of the training worker takes. */
export type RecipeDescriptor = {
  name: string;
  version: string;
  title: string;
  /** What it trains with. */
  framework: 'tensorflow' | 'torch';
  /** Queue of the workers that have this framework; its trainings and its generator go there unless told otherwise. */
  pool: WorkerPool;
  params: ParamsSchema;
  defaults: Record<string, unknown>;
  /** The generator of the recipe's own dataset. */
  dataset: {
    generator: string;
    version: string;
    params: ParamsSchema;
    defaults: Record<string, unknown>;
  };
};
