import { describe, expect, test } from '@jest/globals';
import type { RecipeDescriptor } from '@millrace/recipes';
import { createRecipeCatalog, publishedRecipes } from '@millrace/recipes';

const integer = (minimum: number, maximum: number, value: number) => ({
  type: 'integer',
  minimum,
  maximum,
  default: value,
});
const schema = (properties: Record<string, unknown>) => ({
  type: 'object',
  properties,
  additionalProperties: false,
});
const counting: RecipeDescriptor = {
  name: 'counting',
  version: '2',
  title: 'Counts.',
  framework: 'torch',
  pool: 'torch',
  params: schema({ epochs: integer(1, 10, 5), samples: integer(1, 99, 20), seed: integer(0, 9, 1) }),
  defaults: {},
  dataset: {
    generator: 'numbers',
    version: '3',
    params: schema({ samples: integer(1, 50, 10), seed: integer(0, 9, 7) }),
    defaults: {},
  },
};
const catalog = createRecipeCatalog([counting]);

describe('a training', () => {
  test('gets the defaults of what it leaves out, and a dataset of its size with a seed of its own', () => {
    expect(catalog.resolve('counting', { samples: 30, seed: 2 })).toEqual({
      version: '2',
      pool: 'torch',
      params: { epochs: 5, samples: 30, seed: 2 },
      datasetName: 'numbers',
      datasetParams: { samples: 30, seed: 7 },
    });
  });

  test('may ask for another dataset', () => {
    expect(catalog.resolve('counting', {}, { samples: 3, seed: 4 })).toMatchObject({
      params: { samples: 20, seed: 1 },
      datasetParams: { samples: 3, seed: 4 },
    });
  });

  test('whose size is too much for its dataset is refused for the dataset', () => {
    expect(() => catalog.resolve('counting', { samples: 60 })).toThrow(
      expect.objectContaining({
        code: 'invalid_params',
        message: "Dataset parameter 'samples' must be <= 50.",
      }),
    );
  });

  test('does not change what it was given', () => {
    const given = Object.freeze({ samples: 30 });
    catalog.resolve('counting', given);
    expect(given).toEqual({ samples: 30 });
  });
});

test('a dataset alone has the version of its generator and the defaults of its schema', () => {
  expect(catalog.resolveDataset('counting', { seed: 3 })).toEqual({
    version: '3',
    pool: 'torch',
    params: { samples: 10, seed: 3 },
  });
});

test.each([
  [{ seed: 10 }, "'seed' must be <= 9."],
  [{ seed: -1 }, "'seed' must be >= 0."],
  [{ seed: 1e308 }, "'seed' must be <= 9."],
  [{ seed: 1.5 }, "'seed' must be integer."],
  [{ seed: Number.NaN }, "'seed' must be integer."],
  [{ seed: '$(touch x); 1' }, "'seed' must be integer."],
  [{ LD_PRELOAD: '/tmp/x.so' }, "'LD_PRELOAD' must NOT have additional properties."],
  [{ sead: 1 }, "'sead' must NOT have additional properties."],
  [{ constructor: 1 }, "'constructor' must NOT have additional properties."],
])('wrong parameters %j are refused by name', (params, fault) => {
  const refused = (message: string) => expect.objectContaining({ code: 'invalid_params', message });
  expect(() => catalog.resolve('counting', params)).toThrow(refused(`Parameter ${fault}`));
  expect(() => catalog.resolveDataset('counting', params)).toThrow(refused(`Dataset parameter ${fault}`));
});

test.each(['nothing', '__proto__', ''])(
  "the unknown recipe '%s' is refused with the names there are",
  (name) => {
    const refused = expect.objectContaining({
      code: 'unknown_recipe',
      message: `There is no recipe '${name}'; there are: counting.`,
    });
    expect(() => catalog.resolve(name, {})).toThrow(refused);
    expect(() => catalog.resolveDataset(name, {})).toThrow(refused);
  },
);

test('the published recipes resolve with nothing given to the defaults that they publish', () => {
  const published = publishedRecipes();
  expect(published.list().length).toBeGreaterThan(0);
  for (const { name, version, pool, defaults, dataset } of published.list()) {
    expect(published.resolve(name, {})).toMatchObject({ version, pool, params: defaults });
    expect(published.resolveDataset(name, {})).toEqual({
      version: dataset.version,
      pool,
      params: dataset.defaults,
    });
  }
});
