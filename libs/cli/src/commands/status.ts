import type { Command } from '../command.ts';
import { show } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { table } from '../format.ts';

export const statusCommand: Command = {
  name: 'status',
  summary: 'state of every service and of the workers',
  help: `millrace status

Asks the gateway whether each service is ready, and which workers are there. Exits 1 when one is not ready.`,
  options: {},
  async run(context) {
    const [status, workers] = await Promise.all([
      context.client.status(),
      context.client.training.workers().catch(() => []),
    ]);
    show(context, { ...status, url: context.client.url, workers }, () => {
      const services = status.services.map((service) => [
        service.name,
        service.state,
        service.latencyMs === null ? '-' : `${service.latencyMs} ms`,
        service.failing.length === 0 ? '' : `waits for ${service.failing.join(', ')}`,
      ]);
      const shown = workers.map((worker) => [
        worker.kinds.join(','),
        worker.pool,
        worker.host,
        worker.devices.join(', ') || 'cpu',
      ]);
      const staff =
        shown.length === 0
          ? 'No training worker is there.'
          : table(['worker', 'pool', 'host', 'devices'], shown);
      return `${context.client.url} is ${status.state}; you are ${status.principal}\n\n${table(['service', 'state', 'answers in', ''], services)}\n\n${staff}`;
    });
    return status.state === 'ready' ? exitCodes.ok : exitCodes.failed;
  },
};
