import type { Stage } from '@millrace/contracts';
import { AppError } from '@millrace/contracts';
import type { Tags } from '../models/model.table.ts';
import { NOT_SERVABLE } from '../versions/version.repository.ts';
import type { ModelView, VersionView } from './registry.repository.ts';

/** MLflow's words for stages. */
const STAGES = {
  development: 'None',
  staging: 'Staging',
  production: 'Production',
  archived: 'Archived',
} as const satisfies Record<Stage, string>;

/** Tags that begin like this say what the registry found; nobody can set them. */
export const OWN_TAGS = 'millrace.';

/** A stage by MLflow's word in any case. Throws `invalid_request`. */
export function stageOf(word: string): Stage {
  const found = Object.entries(STAGES).find(([, name]) => name.toLowerCase() === word.toLowerCase());
  if (found !== undefined) return found[0] as Stage;
  throw new AppError(
    'invalid_request',
    `Invalid Model Version stage: ${word}. Value must be one of ${Object.values(STAGES).join(', ')}.`,
  );
}

const pairs = (tags: Tags) => Object.entries(tags).map(([key, value]) => ({ key, value }));

/** What was signed, as tags, so that it shows in any client. */
function ownTags({ packageDigest, rootDigest, keyId, signature, servingFile, label }: VersionView): Tags {
  if (packageDigest === null) return {};
  return {
    'millrace.package_digest': packageDigest,
    'millrace.root_digest': rootDigest ?? '',
    'millrace.signature': signature?.dsseEnvelope.signatures[0].sig ?? '',
    'millrace.signature_key': keyId ?? '',
    'millrace.servable': String(servingFile !== NOT_SERVABLE),
    'millrace.label': label ?? '',
  };
}

/** A version in MLflow's shape. */
export function modelVersion(view: VersionView) {
  return {
    name: view.name,
    version: String(view.ordinal),
    creation_timestamp: view.createdMs,
    last_updated_timestamp: view.updatedMs,
    user_id: view.createdBy,
    current_stage: STAGES[view.stage ?? 'development'],
    description: view.description,
    source: view.source,
    run_id: view.runId,
    run_link: view.runLink,
    ...(view.loggedModelId !== '' && { model_id: view.loggedModelId }),
    status: view.status,
    ...(view.statusMessage !== '' && { status_message: view.statusMessage }),
    tags: pairs({ ...view.tags, ...ownTags(view) }),
    aliases: [...view.aliases],
  };
}

/** A model in MLflow's shape, with the newest version of each stage. */
export function registeredModel(
  view: ModelView,
  latest: readonly VersionView[],
  aliases: readonly { readonly alias: string; readonly ordinal: number }[],
) {
  return {
    name: view.name,
    creation_timestamp: view.createdMs,
    last_updated_timestamp: view.updatedMs,
    description: view.description,
    tags: pairs(view.tags),
    latest_versions: latest.map(modelVersion),
    aliases: aliases.map(({ alias, ordinal }) => ({ alias, version: String(ordinal) })),
  };
}
