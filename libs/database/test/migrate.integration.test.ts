import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { createTestDatabase } from '@millrace/testing';
import { migrate } from '../src/index.ts';

/** Many at once, so that some meet: the schema that they share does not exist for a moment only. */
const SERVICES = Array.from({ length: 40 }, (_, i) => `service_${i}`);
const ROUNDS = 4;

const folder = mkdtempSync(join(tmpdir(), 'migrations-'));
mkdirSync(join(folder, 'meta'));
writeFileSync(
  join(folder, 'meta', '_journal.json'),
  JSON.stringify({ version: '7', dialect: 'postgresql', entries: [] }),
);
afterAll(() => rmSync(folder, { recursive: true }));

test('services that start together on an empty database all migrate', async () => {
  for (let round = 0; round < ROUNDS; round += 1) {
    const { url, drop } = await createTestDatabase();
    const all = SERVICES.map((schema) => migrate({ url, schema, folder }));
    const failed = (await Promise.allSettled(all)).filter(({ status }) => status === 'rejected');
    await drop();
    expect(failed).toEqual([]);
  }
}, 60_000);
