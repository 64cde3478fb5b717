import type { FeatureSpec } from '@millrace/contracts';
import type { Carried } from './spine.ts';

/** Forms of a training set. */
export type TableFormat = 'csv' | 'ndjson';

/** A feature with the name of its column. */
export type FeatureColumn = { readonly name: string; readonly feature: FeatureSpec };

const NEEDS_QUOTES = /[",\r\n]|^\s|\s$/;

/** A text exactly as it is: a training must not see an apostrophe that only a spreadsheet needs. */
function textCell(text: string): string {
  return text === '' || NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? textCell(value) : String(value);
}

/** What comes along from a CSV knows no difference between a text that is empty and none. */
const carriedCell = (value: Carried): string => (value === '' ? '' : cell(value));

/** Cells of a feature; a vector has one for each element, as ingestions read them. */
function featureCells(value: unknown, { size }: FeatureSpec): string {
  if (size === undefined) return cell(value);
  return value === null ? ','.repeat(size - 1) : (value as number[]).map(String).join(',');
}

/** Writes rows of a training set as text, the columns that come along first. */
export function tableWriter(
  format: TableFormat,
  carried: readonly string[],
  features: readonly FeatureColumn[],
): { head: string; row(carried: readonly Carried[], values: readonly unknown[]): string } {
  if (format === 'ndjson') {
    const names = [...carried, ...features.map(({ name }) => name)].map((name) => JSON.stringify(name));
    return {
      head: '',
      row: (own, values) =>
        `{${[...own, ...values].map((value, i) => `${names[i]}:${JSON.stringify(value ?? null)}`).join(',')}}\n`,
    };
  }
  const columns = features.flatMap(({ name, feature: { size } }) =>
    size === undefined ? [name] : Array.from({ length: size }, (_, i) => `${name}_${i}`),
  );
  return {
    head: `${[...carried, ...columns].map(textCell).join(',')}\r\n`,
    row(own, values) {
      const cells = features.map(({ feature }, i) => featureCells(values[i], feature));
      return `${[...own.map(carriedCell), ...cells].join(',')}\r\n`;
    },
  };
}
