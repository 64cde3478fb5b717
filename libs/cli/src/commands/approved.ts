import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { LiveStage } from '@millrace/contracts';
import type { ApprovalAnswer } from '@millrace/integrity';
import { APPROVAL_TYPE, isSha256, readApproval, verifyStatement } from '@millrace/integrity';
import { TRUST_HELP, trustedBy, trustOptions } from '../bundles/trusted.ts';
import type { Command, Context } from '../command.ts';
import { argument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { table } from '../format.ts';
import { stageOption } from './approvals.ts';

export const approvedCommand: Command = {
  name: 'approved',
  summary: 'ask whether a digest is approved for a stage, and check the signature of the answer',
  help: `millrace approved DIGEST [--stage STAGE] [--model MODEL]

Asks who approved a package or model digest, for which stage (default: production) and since when, and checks that the
registry signed just that. Exits 0 when it is approved, 1 when it is not.
  --model MODEL  of this model only; default: every model that has the digest must have it approved
  --save FILE    keeps the signed answer
  --file FILE    checks a kept answer instead, without the platform
${TRUST_HELP}`,
  options: {
    ...trustOptions,
    stage: { type: 'string' },
    model: { type: 'string' },
    save: { type: 'string' },
    file: { type: 'string' },
  },
  async run(context) {
    const digest = argument(context, 0, 'The digest').toLowerCase();
    if (!isSha256(digest)) throw new UsageError(`'${digest}' is no SHA-256 of 64 hex digits.`);
    const stage = stageOption(context);
    const trusted = trustedBy(context);
    const bundle = await bundleOf(context, digest, stage);
    const { statement, keyId } = verifyStatement(bundle, trusted.pem, {
      predicateType: APPROVAL_TYPE,
      subjectDigests: [digest],
      at: trusted.at,
    });
    const answer = readApproval(statement);
    // what is signed must answer what was asked
    if (answer.stage !== stage)
      throw new UsageError(`The answer is about the stage ${answer.stage}, not ${stage}.`);
    const save = textOption(context, 'save');
    if (save !== undefined) writeFileSync(resolve(context.cwd, save), `${JSON.stringify(bundle)}\n`);
    show(context, { ...answer, keyId, keyFiles: trusted.files }, () => describe(answer, keyId));
    return answer.approved ? exitCodes.ok : exitCodes.failed;
  },
};

async function bundleOf(
  context: Context,
  digest: string,
  stage: LiveStage,
): Promise<Readonly<Record<string, unknown>>> {
  const file = textOption(context, 'file');
  if (file === undefined) {
    const model = textOption(context, 'model');
    const query = { stage, ...(model !== undefined && { model }) };
    return (await context.client.governance.isApproved(digest, query)).bundle;
  }
  const path = resolve(context.cwd, file);
  if (!existsSync(path)) throw new UsageError(`'${file}' does not exist.`);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>;
  } catch {
    throw new UsageError(`'${file}' is not JSON.`);
  }
}

function describe(answer: ApprovalAnswer, keyId: string): string {
  const verdict = answer.approved ? 'approved' : 'NOT approved';
  const about = `${verdict} for ${answer.stage}, as of ${answer.issuedAt}, signed by key ${keyId}`;
  if (answer.models.length === 0) return `${about}\n\nNo model has this digest.`;
  const rows = answer.models.map((one) => [
    one.model,
    one.version,
    one.approved ? 'yes' : 'no',
    one.since ?? '-',
    one.approvals.map(({ principal, counts }) => (counts ? principal : `(${principal})`)).join(', ') || '-',
    `${one.required} by ${one.policySource}`,
    one.isListEnforced ? (one.isListed ? 'on it' : 'not on it') : '-',
    `${one.history.seq} ${one.history.head.slice(0, 12)}`,
  ]);
  const heads = ['model', 'version', 'approved', 'since', 'by', 'required', 'allow-list', 'history'];
  return `${about}\n\n${table(heads, rows)}`;
}
