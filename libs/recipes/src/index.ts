export type { GeneratorParams, RecipeCatalog, ResolvedRecipe } from './recipe-catalog.ts';
export { createRecipeCatalog, publishedRecipes } from './recipe-catalog.ts';
export type { RecipeDescriptor } from './recipe-descriptor.ts';
