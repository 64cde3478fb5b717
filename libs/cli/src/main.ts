#!/usr/bin/env node
import { text } from 'node:stream/consumers';
import { runCli } from './run.ts';

const controller = new AbortController();
process.once('SIGINT', () => controller.abort());
// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  cwd: process.env.INIT_CWD ?? process.cwd(),
  isTerminal: process.stdout.isTTY === true,
  signal: controller.signal,
  readInput: async () => await text(process.stdin),
  write: (line) => void process.stdout.write(line),
  writeError: (line) => void process.stderr.write(line),
});
