import { AppError } from '@millrace/contracts';
import type { Column, SQL } from 'drizzle-orm';
import { sql } from 'drizzle-orm';
import Type from 'typebox';
import type { Tags } from './model.table.ts';

/** Bounds of what users write beside a model or version; MLflow's clients keep to the same lengths of tags. */
export const TAGS_MAX = 200;
export const TAG_KEY_LENGTH_MAX = 250;
export const TAG_VALUE_LENGTH_MAX = 5_000;
export const DESCRIPTION_LENGTH_MAX = 20_000;

/** A change of words: what is left out stays; a tag of null goes. */
export const WordsPatch = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: DESCRIPTION_LENGTH_MAX })),
    tags: Type.Optional(
      Type.Record(
        Type.String({ minLength: 1, maxLength: TAG_KEY_LENGTH_MAX }),
        Type.Union([Type.String({ maxLength: TAG_VALUE_LENGTH_MAX }), Type.Null()]),
        { maxProperties: TAGS_MAX, description: 'Tags to set; null takes a tag away, the others stay.' },
      ),
    ),
  },
  { additionalProperties: false },
);
export type WordsPatch = { readonly description?: string; readonly tags?: Record<string, string | null> };

/** Words as they stand. */
export type Words = { readonly description: string; readonly tags: Tags };

/** One tag that is asked for; without a value any will do. */
export type TagFilter = { readonly key: string; readonly value: string | undefined };

/** Query property of lists: `key=value`, or `key` for any value. */
export const tagQuery = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: TAG_KEY_LENGTH_MAX + TAG_VALUE_LENGTH_MAX + 1,
    description: 'key=value, or key for any value of that tag.',
  }),
);

/** Reads the query property `tag`. */
export function readTagFilter(text: string | undefined): TagFilter | undefined {
  if (text === undefined) return undefined;
  const at = text.indexOf('=', 1);
  return at < 0 ? { key: text, value: undefined } : { key: text.slice(0, at), value: text.slice(at + 1) };
}

/** The condition that a row has the tag. */
export function hasTag(column: Column, filter: TagFilter | undefined): SQL | undefined {
  if (filter === undefined) return undefined;
  if (filter.value === undefined) return sql`jsonb_exists(${column}, ${filter.key})`;
  return sql`${column} ->> ${filter.key} = ${filter.value}`;
}

/** @throws AppError `invalid_request` for text that no database or JSON holds */
export function assertText(what: string, text: string): void {
  if (text.isWellFormed() && !text.includes('\0')) return;
  throw new AppError('invalid_request', `The ${what} has half a character or a NUL; take it out.`);
}

/**
 * What a patch changes of the words that stand; undefined when it changes nothing.
 * @throws AppError `invalid_request` for too many tags, or text that cannot be kept
 */
export function changedWords(now: Words, patch: WordsPatch): Partial<Words> | undefined {
  const tags: Record<string, string> = { ...now.tags };
  for (const [key, value] of Object.entries(patch.tags ?? {})) {
    assertText('name of a tag', key);
    if (value === null) delete tags[key];
    else {
      assertText(`tag ${key}`, value);
      tags[key] = value;
    }
  }
  if (Object.keys(tags).length > TAGS_MAX)
    throw new AppError('invalid_request', `There may be at most ${TAGS_MAX} tags; take some away first.`);
  if (patch.description !== undefined) assertText('description', patch.description);
  const isOther = patch.description !== undefined && patch.description !== now.description;
  const isRetagged =
    Object.keys(tags).length !== Object.keys(now.tags).length ||
    Object.entries(tags).some(([key, value]) => now.tags[key] !== value);
  if (!isOther && !isRetagged) return undefined;
  return {
    ...(isOther && { description: patch.description as string }),
    ...(isRetagged && { tags }),
  };
}
