import { describe, expect, test } from '@jest/globals';
import type { RolloutReport } from '@millrace/contracts';
import { latencyBucket, newId } from '@millrace/contracts';
import { judge } from '../../src/rollouts/canary.ts';
import { createRolloutWindow, quantileMs } from '../../src/rollouts/rollout-window.ts';

const NOW = 1_700_000_000_000;
const canary = { version: 'v2', baseline: 'v1', windowSeconds: 60, minRequests: 100 };

type Counts = { requests: number; errors?: number; latencyMs?: number };

function report(source: string, versions: Record<string, Counts>, since = NOW): RolloutReport {
  return {
    source,
    modelId: newId(),
    revision: 1,
    since,
    versions: Object.entries(versions).map(([version, { requests, errors = 0, latencyMs = 10 }]) => ({
      version,
      requests,
      errors,
      latencies: [{ bucket: latencyBucket(latencyMs), count: requests - errors }],
    })),
  };
}

function judged(versions: Record<string, Counts>, bounds: object) {
  const window = createRolloutWindow(60_000);
  window.take(report(newId(), versions), NOW);
  return judge({ ...canary, ...bounds }, window.counts(NOW));
}

describe('a canary is judged', () => {
  const errors = { errorRateIncreaseMax: 0.02 };
  const latency = { latency: { quantile: 'p95' as const, ratioMax: 2 } };

  test('not before it answered enough', () => {
    expect(judged({ v1: { requests: 900 }, v2: { requests: 99, errors: 99 } }, errors).state).toBe('waiting');
  });

  test('by its errors over those of the baseline', () => {
    const verdict = judged({ v1: { requests: 900, errors: 9 }, v2: { requests: 100, errors: 4 } }, errors);
    expect(verdict).toEqual({
      state: 'broken',
      reason: '4.00 % of 100 requests to v2 failed, 1.00 % of 900 to v1; 2.00 % more were allowed.',
    });
    // a fault that both share is not the canary's
    expect(
      judged({ v1: { requests: 900, errors: 450 }, v2: { requests: 100, errors: 51 } }, errors).state,
    ).toBe('healthy');
  });

  test('by its latency, once both answered enough', () => {
    const slow = { requests: 100, latencyMs: 25 };
    expect(judged({ v1: { requests: 900 }, v2: slow }, latency).state).toBe('broken');
    expect(judged({ v1: { requests: 99 }, v2: slow }, latency).state).toBe('waiting');
    expect(judged({ v1: { requests: 900 }, v2: { requests: 100, latencyMs: 19 } }, latency).state).toBe(
      'healthy',
    );
  });
});

describe('the window', () => {
  test('adds up processes and takes the growth of their sums', () => {
    const window = createRolloutWindow(60_000);
    const [a, b] = [newId(), newId()];
    window.take(report(a, { v1: { requests: 10 } }), NOW);
    window.take(report(a, { v1: { requests: 25 } }), NOW + 1_000);
    window.take(report(b, { v1: { requests: 5 } }), NOW + 1_000);
    expect(window.counts(NOW + 1_000).get('v1')?.requests).toBe(30);
    expect(window.totals().get('v1')?.requests).toBe(30);
    expect(window.sources()).toEqual({ count: 2, lastAt: NOW + 1_000 });
  });

  test('forgets what is older, and the totals do not', () => {
    const window = createRolloutWindow(60_000);
    const source = newId();
    window.take(report(source, { v1: { requests: 10, errors: 10 } }), NOW);
    window.take(report(source, { v1: { requests: 15, errors: 10 } }), NOW + 61_000);
    expect(window.counts(NOW + 61_000).get('v1')).toMatchObject({ requests: 5, errors: 0 });
    expect(window.totals().get('v1')).toMatchObject({ requests: 15, errors: 10 });
  });

  test('of a process that counted for longer than the window, only what comes from now on', () => {
    const window = createRolloutWindow(60_000);
    const source = newId();
    window.take(report(source, { v1: { requests: 1_000 } }, NOW - 120_000), NOW);
    expect(window.counts(NOW).get('v1')).toBeUndefined();
    window.take(report(source, { v1: { requests: 1_007 } }, NOW - 120_000), NOW + 1_000);
    expect(window.counts(NOW + 1_000).get('v1')?.requests).toBe(7);
  });

  test('quantiles are exact to 5 percent', () => {
    const latencies = Array.from({ length: 1_000 }, (_, i) => (i + 1) / 10);
    const buckets = new Map<number, number>();
    for (const ms of latencies) buckets.set(latencyBucket(ms), (buckets.get(latencyBucket(ms)) ?? 0) + 1);
    for (const q of [0.5, 0.95, 0.99]) {
      const got = quantileMs({ requests: 1_000, errors: 0, latencies: buckets }, q) as number;
      expect(got / (q * 100)).toBeGreaterThanOrEqual(1);
      expect(got / (q * 100)).toBeLessThanOrEqual(1.06);
    }
  });
});
