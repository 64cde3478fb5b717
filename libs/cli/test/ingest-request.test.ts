import { describe, expect, test } from '@jest/globals';
import { UsageError } from '../src/command.ts';
import { sourceOf } from '../src/datasets/ingest-request.ts';

const at = (from: string, options: Record<string, string> = {}) => sourceOf(from, { options });

describe('what a source is', () => {
  test.each([
    ['s3://spectra/2026/', {}, { type: 'bucket', uri: 's3://spectra/2026/' }],
    ['gs://spectra', { credentials: 'lab' }, { type: 'bucket', uri: 'gs://spectra', credentials: 'lab' }],
    ['https://example.org/a.csv', {}, { type: 'http', url: 'https://example.org/a.csv' }],
    [
      'https://example.org/m.json?x=1',
      { pages: 'page' },
      { type: 'http', url: 'https://example.org/m.json?x=1', paging: { parameter: 'page' } },
    ],
    [
      'hf:iaea/spectra@v2',
      { split: 'test' },
      { type: 'hugging_face', repository: 'iaea/spectra', revision: 'v2', split: 'test' },
    ],
    ['version:01890a5d', {}, { type: 'upload', versionId: '01890a5d' }],
    ['/data/spectra', {}, { type: 'folder', path: '/data/spectra' }],
  ])('%s', (from, options, source) => {
    expect(at(from, options as Record<string, string>)).toEqual(source);
  });

  test.each(['data', 'ftp://x/y', 'file:///etc/passwd', 's3:/x'])('%s is none', (from) => {
    expect(() => at(from)).toThrow(UsageError);
  });
});
