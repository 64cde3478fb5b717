import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { folderTag } from '../src/home.ts';
import { startPostgres } from '../src/index.ts';
import { removeOrphans } from '../src/stand-in-folder.ts';
import { unprivilegedUser } from '../src/unprivileged-user.ts';

const root = mkdtempSync(join(tmpdir(), 'stand-in-'));
const elsewhere: string[] = [];
afterAll(() => {
  for (const made of [root, ...elsewhere]) rmSync(made, { recursive: true, force: true });
});

const uid = process.getuid?.() ?? 0;
const device = statSync(root).dev;
let count = 0;

type Made = { parent: string; folder: string; open: string };

/** A stand-in with data in it, in a parent of its own; `folder` is not there. */
function makeStandIn(marker?: (folder: string) => unknown): Made {
  count += 1;
  const parent = join(root, `open-${count}`);
  const folder = join(root, `clone-${count}`, 'data', 'postgres');
  const open = join(parent, `millrace-${uid}-${folderTag(folder)}`);
  mkdirSync(join(open, 'postgres', 'cluster'), { recursive: true });
  writeFileSync(join(open, 'postgres', 'cluster', 'PG_VERSION'), '18\n');
  if (marker !== undefined) writeFileSync(join(open, 'stands-in-for.json'), JSON.stringify(marker(folder)));
  return { parent, folder, open };
}

const whole = (folder: string) => ({ folder, home: folder, device });

test('the stand-in of a deleted home is removed and named, once', () => {
  const { parent, folder, open } = makeStandIn(whole);
  expect(removeOrphans([parent])).toEqual([
    `removed ${open}, which stood in for ${folder}: ${folder} is gone`,
  ]);
  expect(existsSync(open)).toBe(false);
  expect(removeOrphans([parent, join(root, 'no-such-folder')])).toEqual([]);
});

const kept: [string, () => Made][] = [
  [
    'a home that is there',
    () => {
      const made = makeStandIn(whole);
      mkdirSync(made.folder, { recursive: true });
      return made;
    },
  ],
  ['no marker', () => makeStandIn()],
  ['a marker without a home', () => makeStandIn((folder) => ({ folder, device }))],
  ['a marker that is no object', () => makeStandIn(() => null)],
  ['the marker of another folder', () => makeStandIn((folder) => whole(`${folder}-other`))],
  [
    'a home whose file system is not mounted',
    () => makeStandIn((folder) => ({ ...whole(folder), device: -1 })),
  ],
  [
    'a running Postgres',
    () => {
      const made = makeStandIn(whole);
      writeFileSync(join(made.open, 'postgres', 'cluster', 'postmaster.pid'), `${process.pid}\n/data\n`);
      return made;
    },
  ],
  [
    'a marker that is a link',
    () => {
      const made = makeStandIn();
      const target = join(made.parent, 'marker.json');
      writeFileSync(target, JSON.stringify(whole(made.folder)));
      symlinkSync(target, join(made.open, 'stands-in-for.json'));
      return made;
    },
  ],
  [
    'a name that is not of a stand-in',
    () => {
      const made = makeStandIn(whole);
      const open = join(made.parent, 'millrace-data');
      mkdirSync(open);
      writeFileSync(join(open, 'stands-in-for.json'), JSON.stringify(whole(made.folder)));
      rmSync(made.open, { recursive: true });
      return { ...made, open };
    },
  ],
];

test.each(kept)('with %s it is kept', (_name, make) => {
  const { parent, open } = make();
  expect(removeOrphans([parent])).toEqual([]);
  expect(existsSync(open)).toBe(true);
});

test('a link in its place is neither followed nor removed', () => {
  const real = makeStandIn(whole);
  const parent = join(root, 'links');
  mkdirSync(parent);
  symlinkSync(real.open, join(parent, `millrace-${uid}-${folderTag(real.folder)}`));
  expect(removeOrphans([parent])).toEqual([]);
  expect(existsSync(join(real.open, 'postgres'))).toBe(true);
});

test('the folder of another user is kept', () => {
  const { parent, open } = makeStandIn(whole);
  // only root can give a file away; for others the folder of root stands in
  const isRoot = uid === 0;
  if (isRoot) chownSync(open, 65_534, 65_534);
  expect(removeOrphans([isRoot ? parent : '/'])).toEqual([]);
  expect(existsSync(open)).toBe(true);
});

test('a start removes the data of a deleted clone, and keeps its own', async () => {
  const user = unprivilegedUser();
  const start = (clone: string) => {
    mkdirSync(join(root, clone), { mode: 0o700, recursive: true });
    const dataFolder = join(root, clone, 'data');
    const logFile = join(root, clone, 'postgres.log');
    return startPostgres({ dataFolder, logFile, password: 'p', database: 'd', isFsyncOn: false });
  };
  const first = await start('first');
  const second = await start('second');
  if (user) elsewhere.push(dirname(first.dataFolder), dirname(second.dataFolder));
  rmSync(join(root, 'first'), { recursive: true });
  // a server runs in it: left alone
  if (user) expect(removeOrphans()).not.toContainEqual(expect.stringContaining(dirname(first.dataFolder)));
  await Promise.all([first.process.stop(), second.process.stop()]);
  const again = await start('second');
  await again.process.stop();
  expect(again.dataFolder).toBe(second.dataFolder);
  expect(existsSync(first.dataFolder)).toBe(false);
  expect(existsSync(join(second.dataFolder, 'cluster', 'PG_VERSION'))).toBe(true);
  expect(again.notices.filter((notice) => notice.includes(join(root, 'first')))).toHaveLength(user ? 1 : 0);
});
