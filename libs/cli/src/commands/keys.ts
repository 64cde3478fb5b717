import type { Command, Context } from '../command.ts';
import { argument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, table } from '../format.ts';

export const keysCommand: Command = {
  name: 'keys',
  summary: 'API keys: list, create, revoke',
  help: `millrace keys                       all keys
millrace keys create PRINCIPAL      a new key; without --roles and --scopes it follows the principal's roles
millrace keys revoke KEY_ID         a key stops working at once
  --roles A,B    viewer, predictor, trainer, approver, admin
  --scopes A,B   models:read, predict, …
  --tenant ID    whose principal it is of; only admins of the platform name another than their own
  --note TEXT    what it is for
  --expires AT   ISO 8601`,
  options: {
    roles: { type: 'string' },
    scopes: { type: 'string' },
    tenant: { type: 'string' },
    note: { type: 'string' },
    expires: { type: 'string' },
  },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    if (verb === 'create') return await create(context);
    if (verb !== 'revoke') throw new UsageError(`'${verb}' is not list, create or revoke.`);
    const id = argument(context, 1, 'The id of the key');
    const key = await context.client.keys.revoke(id);
    show(context, key, () => `Key ${key.id} of ${key.principal} is revoked.`);
    return exitCodes.ok;
  },
};

const listOption = (context: Context, name: string): string[] | undefined =>
  textOption(context, name)
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

async function list(context: Context): Promise<number> {
  const { items } = await context.client.keys.list({ limit: 500 });
  show(context, { items }, () =>
    table(
      ['key', 'principal', 'tenant', 'scopes', 'state', 'made'],
      items.map((key) => [
        key.id,
        key.principal,
        key.tenant,
        key.scopes.join(' '),
        key.revokedAt === null ? (key.expiresAt ?? 'valid') : 'revoked',
        ago(key.createdAt),
      ]),
    ),
  );
  return exitCodes.ok;
}

async function create(context: Context): Promise<number> {
  const principal = argument(context, 1, 'The principal');
  const [roles, scopes] = [listOption(context, 'roles'), listOption(context, 'scopes')];
  const [note, expiresAt] = [textOption(context, 'note'), textOption(context, 'expires')];
  const tenant = textOption(context, 'tenant');
  const made = await context.client.keys.create({
    principal,
    ...(tenant !== undefined && { tenant }),
    ...(roles !== undefined && { roles }),
    ...(scopes !== undefined && { scopes }),
    ...(note !== undefined && { note }),
    ...(expiresAt !== undefined && { expiresAt }),
  });
  show(context, made, () => `${made.id} may ${made.scopes.join(' ')}\n\nKey, shown only now: ${made.key}`);
  return exitCodes.ok;
}
