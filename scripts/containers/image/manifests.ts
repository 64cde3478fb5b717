import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * `manifests.ts OUT`, inside a build: copies from the working folder what decides about installed packages. An image
 * layer that is made of it stays as it is while only sources change.
 */

const SINGLE = ['package.json', 'package-lock.json', '.npmrc'];
/** Folders whose folders are workspaces, as package.json lists them. */
const WORKSPACES = ['services', 'libs', 'infra'];

const out = process.argv[2];
if (out === undefined) throw new Error('manifests.ts OUT: name the folder to write to.');

function copy(file: string, to: string): void {
  mkdirSync(dirname(join(to, file)), { recursive: true });
  cpSync(file, join(to, file));
}

for (const file of SINGLE) copy(file, out);
for (const folder of WORKSPACES)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const inside = entry.isDirectory() ? readdirSync(join(folder, entry.name)) : [];
    if (inside.includes('package.json')) copy(join(folder, entry.name, 'package.json'), out);
  }
