import { expect } from '@jest/globals';
import { eventually, prometheusPrograms, startPrometheus } from '@millrace/testing';
import type { TestPlatform } from './platform.ts';
import { cli } from './platform.ts';

const SCRAPED_WITHIN_MS = 60_000;

/**
 * Lets a real Prometheus scrape every service of a platform: each answers, promtool has nothing to say about our series,
 * and the requests of `model` arrive.
 */
export async function assertScraped(
  { platform }: TestPlatform,
  { model, requests }: { model: string; requests: number },
): Promise<void> {
  const programs = await prometheusPrograms();
  if (programs === undefined) return;
  const services = platform.state().parts.filter(({ kind }) => kind === 'service');
  const targets = Object.fromEntries(services.map(({ name, port }) => [name, `127.0.0.1:${port}`]));
  const prometheus = await startPrometheus(programs, targets);
  try {
    await eventually(
      async () => {
        const up = await prometheus.query('up == 1');
        expect(up.map(({ labels }) => labels.job).sort()).toEqual(Object.keys(targets).sort());
      },
      { timeoutMs: SCRAPED_WITHIN_MS },
    );
    const [served] = await prometheus.query(
      `sum(millrace_inference_request_seconds_count{model="${model}",job="inference"})`,
    );
    expect(served?.value).toBe(requests);
    for (const [name, target] of Object.entries(targets)) {
      const said = await prometheus.check(await (await fetch(`http://${target}/metrics`)).text());
      const complaints = said.filter((line) => line.startsWith('millrace_'));
      expect({ name, complaints }).toEqual({ name, complaints: [] });
    }
  } finally {
    await prometheus.stop();
  }
}

/** `millrace models serving` shows a model that answered one request: its queue, rows a run, latency, and why. */
export async function assertServingShown(millrace: TestPlatform, model: string): Promise<void> {
  expect(await cli(millrace, 'models', 'serving')).toMatch(
    new RegExp(`${model}@\\S+\\s+ready\\s+(inline|host)\\s+\\d+\\s+0\\s+0\\s`),
  );
  const served = await cli(millrace, 'models', 'serving', model);
  for (const line of [
    /^runs +(inline|host): a row takes/m,
    /^rows +(joined|alone): \S/m,
    /^requests +1, 0 failed, 0 turned away$/m,
    /^queue +0 wait \(0 B\), 0 run$/m,
    /^latency +p50 [\d.]+, p99 [\d.]+ ms; [\d.]+ in the queue$/m,
  ])
    expect(served).toMatch(line);
  await expect(cli(millrace, 'models', 'serving', 'nobody')).rejects.toMatchObject({
    stderr: expect.stringContaining('is not in memory'),
  });
}
