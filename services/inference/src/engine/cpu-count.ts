import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Fronts beyond this only divide the batches. */
const FRONTS_DEFAULT_MAX = 8;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Cores' worth of time that the control group allows; undefined without a limit. `root` is the cgroup folder. */
export function cgroupQuota(root = '/sys/fs/cgroup'): number | undefined {
  const [quota, period] = readText(`${root}/cpu.max`)?.split(' ') ?? [
    readText(`${root}/cpu/cpu.cfs_quota_us`),
    readText(`${root}/cpu/cpu.cfs_period_us`),
  ];
  const share = Number(quota) / Number(period);
  return Number.isFinite(share) && share > 0 ? share : undefined;
}

/** Cores that this process may use: its affinity, cut by the control group's quota; at least 1. */
export function usableCores(cgroupRoot?: string): number {
  return Math.max(1, Math.floor(Math.min(availableParallelism(), cgroupQuota(cgroupRoot) ?? Infinity)));
}

/** Processes that answer requests: one for each core that may be used. */
export function frontsFor(configured: number, cores: number): number {
  return configured > 0 ? configured : Math.min(FRONTS_DEFAULT_MAX, cores);
}
