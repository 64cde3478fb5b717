import type { StorageCollection } from '@millrace/sdk';
import type { Command } from '../command.ts';
import { show } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { bytes, fields } from '../format.ts';

export const gcCommand: Command = {
  name: 'gc',
  summary: 'free stored files that nothing refers to',
  help: `millrace gc [--dry-run]

Looks at every stored file. What no package, dataset, job or upload refers to, and is older than the grace (a day), is
taken out of use; what still has no reference a grace after that is deleted by the next run. A file that is needed after
all comes back by itself.
  --dry-run  only say what would be done`,
  options: { 'dry-run': { type: 'boolean' } },
  async run(context) {
    const dryRun = context.options['dry-run'] === true;
    const total = await context.client.storage.collect({ dryRun, signal: context.signal });
    const amount = (
      part: keyof Pick<StorageCollection, 'quarantined' | 'restored' | 'freed' | 'abandoned'>,
    ) => `${total[part].objects} files, ${bytes(total[part].sizeBytes)}`;
    show(context, total, () =>
      fields([
        ['looked at', `${total.examined} files, ${total.kept} of them needed or young`],
        [dryRun ? 'would take out of use' : 'taken out of use', amount('quarantined')],
        [dryRun ? 'would bring back' : 'brought back', amount('restored')],
        [dryRun ? 'would free' : 'freed', amount('freed')],
        [
          dryRun ? 'would remove of broken-off uploads' : 'removed of broken-off uploads',
          amount('abandoned'),
        ],
      ]),
    );
    return exitCodes.ok;
  },
};
