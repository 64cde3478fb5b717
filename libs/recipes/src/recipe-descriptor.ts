/** A JSON Schema (2020-12) of named parameters, with their defaults in it. */
type ParamsSchema = Record<string, unknown>;

/** One entry of proto/recipes.json: what a recipe of the training worker takes. */
export type RecipeDescriptor = {
  name: string;
  version: string;
  title: string;
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
