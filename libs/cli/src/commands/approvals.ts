import type { LiveStage } from '@millrace/contracts';
import type { Approvals } from '@millrace/sdk';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { fields, table } from '../format.ts';
import { defaultVersion } from '../model-version.ts';

const STAGES: readonly string[] = ['development', 'staging', 'production'];

export const approvalsCommand: Command = {
  name: 'approvals',
  summary: 'list, give or take back approvals of a model version',
  help: `millrace approvals MODEL[@VERSION] [--stage STAGE]                who approved its bytes, and how many are missing
millrace approvals give MODEL@VERSION [--stage STAGE] [--comment TEXT]  approve it
millrace approvals revoke MODEL@VERSION [--stage STAGE]           take one's own approval back
  --stage STAGE  ${STAGES.join(', ')}; default: production`,
  options: { stage: { type: 'string' }, comment: { type: 'string' } },
  async run(context) {
    const [first] = context.positionals;
    const { governance } = context.client;
    const stage = stageOption(context);
    if (first === 'give' || first === 'revoke') {
      const { name, version } = modelArgument(argument(context, 1, 'MODEL@VERSION'));
      if (version === undefined) throw new UsageError(`Say which version of ${name}: ${name}@VERSION.`);
      const comment = textOption(context, 'comment');
      const now =
        first === 'give'
          ? await governance.approve(name, version, { stage, ...(comment !== undefined && { comment }) })
          : await governance.revokeApproval(name, version, stage);
      return print(context, now);
    }
    const { name, version } = modelArgument(argument(context, 0, 'MODEL[@VERSION]'));
    return print(
      context,
      await governance.approvals(name, version ?? (await defaultVersion(context, name)), stage),
    );
  },
};

/** The stage that is asked for; throws UsageError for one that nothing is approved for. */
export function stageOption(context: Context): LiveStage {
  const stage = textOption(context, 'stage') ?? 'production';
  if (STAGES.includes(stage)) return stage as LiveStage;
  throw new UsageError(`--stage is ${STAGES.join(', ')}, not '${stage}'.`);
}

function print(context: Context, now: Approvals): number {
  show(context, now, () => {
    const about = fields([
      ['model', `${now.model} ${now.version}`],
      ['stage', now.stage],
      ['package digest', now.packageDigest],
      ['approvals', `${now.required} required, ${now.missing} missing`],
    ]);
    if (now.items.length === 0) return about;
    const rows = now.items.map((one) => [
      one.principal,
      one.approvedAt,
      one.counts ? 'yes' : 'no: registered it',
      one.comment,
    ]);
    return `${about}\n\n${table(['by', 'at', 'counts', 'comment'], rows)}`;
  });
  return exitCodes.ok;
}
