import type { Bus } from '@millrace/bus';
import { callRpc, mentionedDigests } from '@millrace/bus';
import { referencedDigestsMethod } from '@millrace/contracts';
import type { Database } from '@millrace/database';
import { sql } from 'drizzle-orm';

/** The other services that store files by digest; each is asked, and without all answers nothing is collected. */
const OWNERS = ['datasets', 'training-orchestrator', 'converter', 'inference'] as const;
/** Each reads its tables once for an answer (ms). */
const ANSWER_TIMEOUT_MS = 30_000;
/**
 * Tables of the registry that keep digests of files after nobody needs them: the past, and packages that are asked about
 * by their versions. Every other table counts by the mere mention of a digest.
 */
const TELLS_OF_THE_PAST = [
  'change_log',
  'change_facts',
  'packages',
  'package_files',
  'attestations',
  'model_versions',
  'imports',
  'part_uploads',
];

/** Finds which blobs somebody still refers to. */
export type References = (digests: readonly string[]) => Promise<ReadonlySet<string>>;

/**
 * Asks this service's own tables and every other owner. What was registered or imported within the grace counts even
 * where its version is gone. Throws `dependency_unavailable` when one of them does not answer.
 */
export function createReferences(options: { bus: Bus; database: Database; graceMs: number }): References {
  const { bus, database, graceMs } = options;

  async function ownPackages(digests: readonly string[]): Promise<string[]> {
    const asked = sql`(select jsonb_array_elements_text(${JSON.stringify(digests)}::jsonb))`;
    const recent = sql`now() - ${graceMs} * interval '1 millisecond'`;
    const { rows } = await database.db.execute<{ sha256: string }>(sql`
      select distinct f.sha256 from registry.package_files f
        join registry.packages p on p.package_digest = f.package_digest
        where f.sha256 in ${asked}
          and (p.created_at > ${recent}
            or exists (select from registry.model_versions v where v.package_digest = p.package_digest))
      union
      select file->>'sha256' from registry.imports i, jsonb_array_elements(i.files) file
        where file->>'sha256' in ${asked} and (i.state = 'converting' or i.created_at > ${recent})`);
    return rows.map(({ sha256 }) => sha256);
  }

  return async (digests) => {
    if (digests.length === 0) return new Set();
    const request = { digests: [...digests] };
    const found = await Promise.all([
      ownPackages(digests),
      mentionedDigests(database, 'registry', digests, TELLS_OF_THE_PAST),
      ...OWNERS.map(async (owner) => {
        const reply = await callRpc(bus, owner, 'referenced-digests', referencedDigestsMethod, request, {
          timeoutMs: ANSWER_TIMEOUT_MS,
        });
        return reply.referenced;
      }),
    ]);
    return new Set(found.flat());
  };
}
