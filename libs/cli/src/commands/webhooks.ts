import type { WebhookAttempt, WebhookView } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, integerOption, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, fields, table } from '../format.ts';

const LIMIT_DEFAULT = 20;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const webhooksCommand: Command = {
  name: 'webhooks',
  summary: 'send events to other systems: create, list, log, test, replay',
  help: `millrace webhooks                              all webhooks
millrace webhooks create URL TYPE...           send events of these types there; TYPE is a name such as
                                               model-version.registered, * stands for any characters
millrace webhooks log WEBHOOK [EVENT]          what was sent, newest first; one event with every attempt
millrace webhooks test WEBHOOK                 send a test event now
millrace webhooks replay WEBHOOK EVENT         send an event again
millrace webhooks rotate WEBHOOK               a new signing secret; the old one signs beside it for a day
millrace webhooks enable|disable|delete WEBHOOK
  --note TEXT   what it is for    --limit N   rows of the log`,
  options: { note: { type: 'string' }, limit: { type: 'string' } },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    if (verb === 'create') return await create(context);
    const run = Object.hasOwn(verbs, verb) ? verbs[verb as keyof typeof verbs] : undefined;
    if (run === undefined)
      throw new UsageError(`'${verb}' is not list, create, ${Object.keys(verbs).join(', ')}.`);
    const id = argument(context, 1, 'The id of the webhook');
    if (!UUID.test(id)) throw new UsageError(`'${id}' is no id of a webhook; see: millrace webhooks`);
    return await run(context, id);
  },
};

const verbs = {
  log,
  test,
  replay,
  rotate,
  enable: (context: Context, id: string) => change(context, id, true),
  disable: (context: Context, id: string) => change(context, id, false),
  delete: remove,
};

const stateOf = ({ disabledAt, disabledReason, failingSince }: WebhookView): string => {
  if (disabledAt !== null) return `disabled: ${disabledReason}`;
  return failingSince === null ? 'working' : `failing for ${ago(failingSince).replace(/ ago$/, '')}`;
};

async function list(context: Context): Promise<number> {
  const { items } = await context.client.webhooks.list({ limit: 500 });
  show(context, { items }, () =>
    items.length === 0
      ? 'No webhook yet; see: millrace webhooks --help'
      : table(
          ['webhook', 'url', 'types', 'state'],
          items.map((one) => [one.id, one.url, one.types.join(' '), stateOf(one)]),
        ),
  );
  return exitCodes.ok;
}

async function create(context: Context): Promise<number> {
  const url = argument(context, 1, 'The url');
  const types = context.positionals.slice(2);
  if (types.length === 0) throw new UsageError("The types are missing; '*' means all.");
  const note = textOption(context, 'note');
  const made = await context.client.webhooks.create({ url, types, ...(note !== undefined && { note }) });
  show(context, made, () => `${describe(made)}\n\nSigning secret, shown only now: ${made.secret}`);
  return exitCodes.ok;
}

function describe(webhook: WebhookView): string {
  return fields([
    ['webhook', webhook.id],
    ['url', webhook.url],
    ['types', webhook.types.join(' ')],
    ['state', stateOf(webhook)],
    ['note', webhook.note],
    ['made', `${webhook.createdAt} by ${webhook.createdBy}`],
  ]);
}

const outcomeOf = (attempt: WebhookAttempt | null): string =>
  attempt === null ? '-' : (attempt.error ?? `status ${attempt.status} in ${attempt.latencyMs} ms`);

async function log(context: Context, id: string): Promise<number> {
  const { webhooks } = context.client;
  const eventId = context.positionals[2];
  if (eventId !== undefined) {
    const one = await webhooks.delivery(id, eventId);
    show(context, one, () => {
      const attempts = one.log.map((attempt) => [
        attempt.at,
        outcomeOf(attempt),
        attempt.answer.slice(0, 80),
      ]);
      return `${one.payload}\n\n${table(['attempt', 'outcome', 'answer'], attempts)}`;
    });
    return exitCodes.ok;
  }
  const { items } = await webhooks.deliveries(id, {
    limit: integerOption(context, 'limit', 1) ?? LIMIT_DEFAULT,
  });
  show(context, { items }, () =>
    items.length === 0
      ? 'Nothing was sent yet.'
      : table(
          ['event', 'type', 'state', 'tries', 'last attempt', 'when'],
          items.map((one) => [
            one.eventId,
            one.type,
            one.state,
            one.attempts,
            outcomeOf(one.lastAttempt),
            ago(one.createdAt),
          ]),
        ),
  );
  return exitCodes.ok;
}

async function test(context: Context, id: string): Promise<number> {
  const attempt = await context.client.webhooks.test(id);
  const isGood = attempt.error === null && attempt.status !== null && attempt.status < 300;
  show(context, attempt, () => `${isGood ? 'delivered' : 'not delivered'}: ${outcomeOf(attempt)}`);
  return isGood ? exitCodes.ok : exitCodes.failed;
}

async function replay(context: Context, id: string): Promise<number> {
  const eventId = argument(context, 2, 'The id of the event');
  const delivery = await context.client.webhooks.replay(id, eventId);
  show(context, delivery, () => `${delivery.type} ${eventId} is sent again.`);
  return exitCodes.ok;
}

async function rotate(context: Context, id: string): Promise<number> {
  const made = await context.client.webhooks.rotateSecret(id);
  show(context, made, () => `New signing secret, shown only now: ${made.secret}`);
  return exitCodes.ok;
}

async function change(context: Context, id: string, enabled: boolean): Promise<number> {
  const webhook = await context.client.webhooks.change(id, { enabled });
  show(context, webhook, () => describe(webhook));
  return exitCodes.ok;
}

async function remove(context: Context, id: string): Promise<number> {
  await context.client.webhooks.delete(id);
  show(context, { id, deleted: true }, () => `Webhook ${id} was deleted.`);
  return exitCodes.ok;
}
