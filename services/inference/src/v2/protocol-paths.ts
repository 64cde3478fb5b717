import Type from 'typebox';

/** Path parameters of a model or of one of its versions. */
export type Target = { Params: { model: string; version?: string } };

export const Params = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 255 }),
  version: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: 'Ordinal or label of the version.' }),
  ),
});

export const tags = ['open inference protocol'];
