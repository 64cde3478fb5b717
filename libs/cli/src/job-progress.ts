import type { JobProgress } from '@millrace/contracts';
import { short } from './format.ts';

const BAR_WIDTH = 24;

/** How far a job is, as a bar, and its latest figures. */
export function progressText({ stage, step, totalSteps, epoch, epochs, metrics }: JobProgress): string {
  const filled = totalSteps === 0 ? 0 : Math.round((step / totalSteps) * BAR_WIDTH);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`;
  const where = epoch === undefined || epochs === 0 ? stage : `epoch ${epoch}/${epochs ?? '?'}`;
  const figures = Object.entries(metrics).flatMap(([name, value]) =>
    value === null ? [] : [`${name} ${short(value)}`],
  );
  return `${bar} ${where}  ${figures.join('  ')}`;
}
