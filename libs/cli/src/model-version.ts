import { AppError } from '@millrace/contracts';
import type { Context } from './command.ts';

/** The version that is meant when none is named: the one that serves, else the latest. Throws `version_not_found`. */
export async function defaultVersion(context: Context, name: string): Promise<string> {
  const { serving, latest } = await context.client.models.get(name);
  const version = serving?.version ?? latest?.version;
  if (version === undefined) throw new AppError('version_not_found', `The model '${name}' has no version.`);
  return version;
}
