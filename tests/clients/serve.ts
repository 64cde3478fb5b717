import { once } from 'node:events';
import { startTestInfra, TEST_INFRA_VARIABLE } from '@millrace/testing';
import { fixture, startServing } from '../../services/inference/test/support/serving.ts';

/**
 * An inference service with models of the fixtures, for the tests of clients in other languages: starts real servers,
 * writes `{"url": …}` as one line and ends with its standard input. It uses the servers of the test run, or its own.
 */
const own = process.env[TEST_INFRA_VARIABLE] === undefined ? await startTestInfra() : undefined;
if (own !== undefined) process.env[TEST_INFRA_VARIABLE] = JSON.stringify(own.infra);
const serving = await startServing();
try {
  await serving.registry.add('classifier', fixture('classifier'));
  await serving.registry.add('types', fixture('echo'));
  await serving.registry.add('texts', fixture('echo_string'));
  process.stdout.write(`${JSON.stringify({ url: serving.origin })}\n`);
  process.stdin.resume();
  await once(process.stdin, 'end');
} finally {
  await serving.stop();
  await own?.stop();
}
