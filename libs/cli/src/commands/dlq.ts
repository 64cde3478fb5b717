import type { Command, Context } from '../command.ts';
import { argument, integerOption, show, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, fields, table } from '../format.ts';

const LIMIT_DEFAULT = 50;

export const dlqCommand: Command = {
  name: 'dlq',
  summary: 'messages that were given up: list, show, redrive, drop',
  help: `millrace dlq [--limit N] [--after SEQ]   dead letters, oldest first
millrace dlq show SEQ                    one, with its payload
millrace dlq redrive SEQ                 send it again and take it off the list
millrace dlq drop SEQ                    remove it for good`,
  options: { limit: { type: 'string' }, after: { type: 'string' } },
  async run(context) {
    const { deadLetters } = context.client;
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    const sequence = Number(argument(context, 1, 'The sequence of the dead letter'));
    if (!Number.isSafeInteger(sequence) || sequence < 1)
      throw new UsageError('A sequence is a whole number from 1 on.');
    if (verb === 'show') {
      const letter = await deadLetters.get(sequence);
      show(context, letter, () => fields(Object.entries(letter)));
    } else if (verb === 'redrive') {
      await deadLetters.redrive(sequence);
      show(context, { sequence, redriven: true }, () => `Dead letter ${sequence} was sent again.`);
    } else if (verb === 'drop') {
      await deadLetters.drop(sequence);
      show(context, { sequence, dropped: true }, () => `Dead letter ${sequence} was removed.`);
    } else throw new UsageError(`'${verb}' is not list, show, redrive or drop.`);
    return exitCodes.ok;
  },
};

async function list(context: Context): Promise<number> {
  const limit = integerOption(context, 'limit', 1) ?? LIMIT_DEFAULT;
  const items = await context.client.deadLetters.list({ limit, after: integerOption(context, 'after') ?? 0 });
  show(context, { items }, () =>
    items.length === 0
      ? 'No dead letters.'
      : table(
          ['seq', 'consumer', 'subject', 'reason', 'tries', 'when'],
          items.map((letter) => [
            letter.sequence,
            letter.consumer,
            letter.subject,
            `${letter.code}: ${letter.message}`.slice(0, 80),
            letter.deliveries,
            ago(letter.time),
          ]),
        ),
  );
  return exitCodes.ok;
}
