import type { Check } from '../checks/check.ts';
import { runCheck } from '../checks/check.ts';
import { checkMachine } from '../checks/machine.ts';
import { checkServers } from '../checks/servers.ts';
import type { Command, Context } from '../command.ts';
import { show } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { table } from '../format.ts';

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'check this machine and the servers under the platform',
  help: `millrace doctor

Checks Node, the Python environments, ports, disk, the object store (conditional writes, checksums), NATS (version,
JetStream write), Postgres (version), the clocks and the workers. Exits 1 when a check fails; each failure says what to do.`,
  options: {},
  async run(context) {
    const checks: Check[] = [
      ...checkMachine(context),
      ...checkServers(context),
      platformCheck(context),
      workerCheck(context),
    ];
    const results = await Promise.all(checks.map(runCheck));
    show(context, { checks: results }, () =>
      table(
        ['check', 'result', 'found'],
        results.map(({ name, result, found, fix }) => [
          name,
          result,
          fix === undefined ? found : `${found} -> ${fix}`,
        ]),
      ),
    );
    return results.some(({ result }) => result === 'fail') ? exitCodes.failed : exitCodes.ok;
  },
};

function platformCheck({ client }: Context): Check {
  return {
    name: 'platform',
    fix: 'npm run up, or npm run status to see which part is down',
    async run() {
      const { services, state } = await client.status();
      const away = services.filter((service) => service.state !== 'ready').map(({ name }) => name);
      if (state !== 'ready') throw new Error(`not ready: ${away.join(', ')}`);
      return `${services.length} services ready`;
    },
  };
}

function workerCheck({ client }: Context): Check {
  return {
    name: 'workers',
    fix: 'npm run status shows the workers and their logs',
    async run() {
      const workers = await client.training.workers();
      if (workers.length === 0) throw new Error('no training worker reports');
      return workers.map(({ pool, host }) => `${pool} on ${host}`).join(', ');
    },
  };
}
