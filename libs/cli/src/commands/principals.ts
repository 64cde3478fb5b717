import type { PrincipalView } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { ago, table } from '../format.ts';

export const principalsCommand: Command = {
  name: 'principals',
  summary: 'who acts: list, create, show, roles, disable, enable',
  help: `millrace principals                        all that you look after
millrace principals create ID --roles A,B  a new one, of your tenant unless --tenant names another
millrace principals show ID                one
millrace principals roles ID A,B           what it may do from now on, with every key; '' is nothing
millrace principals disable|enable ID      its keys and tokens stop working, or work again
  --roles A,B    viewer, predictor, trainer, approver, admin
  --tenant ID    whose it is (create); only admins of the platform name another than their own
  --note TEXT    who or what it is (create)

Keys of a principal: millrace keys create ID`,
  options: { roles: { type: 'string' }, tenant: { type: 'string' }, note: { type: 'string' } },
  async run(context) {
    const [verb = 'list'] = context.positionals;
    if (verb === 'list') return await list(context);
    const id = argument(context, 1, 'The id of the principal');
    const { principals } = context.client;
    if (verb === 'create') return shown(context, await create(context, id));
    if (verb === 'show') return shown(context, await principals.get(id));
    if (verb === 'roles') {
      const roles = namesIn(context.positionals[2] ?? textOption(context, 'roles'));
      if (roles === undefined)
        throw new UsageError('The roles are missing: millrace principals roles ID A,B');
      return shown(context, await principals.change(id, { roles }));
    }
    if (verb === 'disable' || verb === 'enable')
      return shown(context, await principals.change(id, { disabled: verb === 'disable' }));
    throw new UsageError(`'${verb}' is not list, create, show, roles, disable or enable.`);
  },
};

const namesIn = (text: string | undefined): string[] | undefined =>
  text
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

async function create(context: Context, id: string): Promise<PrincipalView> {
  const roles = namesIn(textOption(context, 'roles'));
  if (roles === undefined)
    throw new UsageError('--roles is missing: viewer, predictor, trainer, approver or admin.');
  const [tenant, note] = [textOption(context, 'tenant'), textOption(context, 'note')];
  return await context.client.principals.create({
    id,
    roles,
    ...(tenant !== undefined && { tenant }),
    ...(note !== undefined && { note }),
  });
}

const rolesOf = ({ roles }: PrincipalView): string =>
  roles === null ? 'as each key says' : roles.length === 0 ? 'none' : roles.join(' ');
const stateOf = ({ disabledAt }: PrincipalView): string => (disabledAt === null ? 'in use' : 'disabled');

async function list(context: Context): Promise<number> {
  const { items } = await context.client.principals.list({ limit: 500 });
  show(context, { items }, () =>
    table(
      ['principal', 'tenant', 'roles', 'state', 'note', 'made'],
      items.map((one) => [one.id, one.tenant, rolesOf(one), stateOf(one), one.note, ago(one.createdAt)]),
    ),
  );
  return exitCodes.ok;
}

function shown(context: Context, principal: PrincipalView): number {
  show(
    context,
    principal,
    () => `${principal.id} of ${principal.tenant} is ${stateOf(principal)}; roles: ${rolesOf(principal)}`,
  );
  return exitCodes.ok;
}
