import { expect } from '@jest/globals';
import { eventually } from '@millrace/testing';

type Json = Record<string, unknown>;
export type Reply = { status: number; body: Json };

/** A stored object as the results show it. */
type Shown = { url: string; sha256: string; sizeBytes: number; rows: number };
export type Results = {
  format: string;
  manifest: Shown;
  result: Shown | null;
  errors: Shown | null;
  items: (Shown & { index: number; firstRow: number; inputRows: number; skipped: number })[];
  nextCursor: string | null;
};

/** Asks for batch jobs as a user does. */
export function createBatchClient(origin: string) {
  const ask = async (method: string, path: string, body?: unknown, headers: object = {}): Promise<Reply> => {
    const response = await fetch(`${origin}/v1/batch-jobs${path}`, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Json };
  };
  const get = (path: string) => ask('GET', path);

  return {
    ask,
    get,
    create: (body: unknown, headers?: object) => ask('POST', '', body, headers),
    async createdId(body: unknown): Promise<string> {
      const created = await ask('POST', '', body);
      expect(created).toMatchObject({ status: 202, body: { state: 'queued' } });
      return String(created.body.id);
    },
    /** The job once it has ended. */
    async ended(id: string, timeoutMs = 90_000): Promise<Json> {
      let job: Json = {};
      await eventually(
        async () => {
          job = (await get(`/${id}`)).body;
          expect(['succeeded', 'failed', 'cancelled']).toContain(job.state);
        },
        { timeoutMs },
      );
      return job;
    },
    async results(id: string): Promise<Results> {
      const { status, body } = await get(`/${id}/results?limit=500`);
      expect(status).toBe(200);
      return body as unknown as Results;
    },
  };
}
export type BatchClient = ReturnType<typeof createBatchClient>;

export async function download(shown: Shown | null): Promise<Buffer> {
  const response = await fetch(shown?.url ?? '');
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

/** The lines of a result in JSON. */
export async function downloadLines(shown: Shown | null): Promise<Json[]> {
  const text = (await download(shown)).toString();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Json);
}
