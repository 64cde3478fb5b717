import { expect } from '@jest/globals';
import type { Answer, Caller, Json } from './furnish.ts';
import { done, MARK, ROW } from './furnish.ts';

/** A model that no tenant has. */
const NOBODYS = 'of-nobody';
const UNKNOWN_DIGEST = 'ab'.repeat(32);

/** Everything that is signed in an answer, as text. */
const signedText = ({ body }: Answer): string =>
  Buffer.from(String(body.bundle?.dsseEnvelope?.payload ?? ''), 'base64').toString();
/** An answer with what was asked for taken out of it. */
const without = ({ status, body }: Answer, ...asked: string[]): unknown => {
  const { instance: _id, ...rest } = body;
  const text = asked.reduce((all, one) => all.replaceAll(one, '…'), JSON.stringify(rest));
  return { status, body: JSON.parse(text) };
};

/** Approvals of a digest that another tenant knows say what they say of a digest of nobody. */
export async function checkApprovals(owner: Caller, other: Caller, digest: string): Promise<void> {
  const own = await owner('GET', `/v1/approvals/${digest}`);
  expect(JSON.stringify(own.body.models)).toContain(MARK);
  const [known, unknown] = [
    await other('GET', `/v1/approvals/${digest}`),
    await other('GET', `/v1/approvals/${UNKNOWN_DIGEST}`),
  ];
  const told = ({ body: { bundle: _signed, issuedAt: _at, ...rest }, ...answer }: Answer) => ({
    ...answer,
    body: rest,
  });
  expect(without(told(known), digest)).toEqual(without(told(unknown), UNKNOWN_DIGEST));
  expect(known.text + signedText(known)).not.toContain(MARK);
  expect(signedText(known)).toContain(digest);
}

/** Each tenant has an allow-list of its own, whose changes the other's does not follow. */
export async function checkAllowLists(owner: Caller, other: Caller, digest: string): Promise<void> {
  const entry = `/v1/governance/allow-list/production/${digest}`;
  const list = async (by: Caller): Promise<Json[]> =>
    (await done(by('GET', '/v1/governance/allow-list?stage=production'))).items as Json[];
  expect(await list(owner)).toEqual([]);
  expect((await other('PUT', entry, { comment: 'of another' })).status).toBe(201);
  expect([await list(owner), await list(other)]).toMatchObject([[], [{ digest, comment: 'of another' }]]);
  expect((await owner('PUT', entry, { comment: MARK })).status).toBe(201);
  expect(await list(other)).toMatchObject([{ digest, comment: 'of another' }]);
  expect((await other('DELETE', entry)).status).toBe(204);
  expect([await list(owner), await list(other)]).toMatchObject([[{ digest, comment: MARK }], []]);
  expect((await owner('DELETE', entry)).status).toBe(204);
}

/** An ensemble has no step of another tenant's model, and says of it what it says of one that nobody has. */
export async function checkEnsembles(owner: Caller, other: Caller): Promise<void> {
  const register = (by: Caller, model: string) =>
    by('POST', `/v1/models/${model}/ensembles`, {
      version: 'flow',
      inputs: [{ name: 'float_input', dtype: 'float32', shape: [null, ROW.length] }],
      outputs: ['label'],
      steps: [
        {
          id: 'classify',
          kind: 'model',
          model,
          version: 'v1',
          inputs: { float_input: 'float_input' },
          outputs: { output_label: 'label' },
        },
      ],
    });
  await unchanged(owner, async () => {
    const [theirs, nobodys] = [await register(other, MARK), await register(other, NOBODYS)];
    expect(theirs).toMatchObject({ status: 404, body: { code: 'model_not_found' } });
    expect(without(theirs, MARK)).toEqual(without(nobodys, NOBODYS));
  });
  expect((await other('GET', `/v1/models/${MARK}`)).status).toBe(404);
}

/** A bundle under a name that another tenant has is taken for the sender's own: nothing is said of the other's version. */
export async function checkBundles(owner: Caller, other: Caller): Promise<void> {
  const send = (model: string) => {
    const form = new FormData();
    form.append('trust', 'no key');
    form.append('file', new Blob(['no tar']), 'bundle.tar');
    return other('PUT', `/v1/models/${model}/versions/v1/bundle`, form);
  };
  await unchanged(owner, async () => {
    const [theirs, nobodys] = [await send(MARK), await send(NOBODYS)];
    expect(theirs.status).toBeGreaterThanOrEqual(400);
    expect(theirs.status).toBeLessThan(500);
    expect(without(theirs, MARK)).toEqual(without(nobodys, NOBODYS));
  });
  expect((await other('GET', `/v1/models/${MARK}`)).status).toBe(404);
}

/** Versions of the owner's model are the same before and after. */
async function unchanged(owner: Caller, change: () => Promise<void>): Promise<void> {
  const versions = () => done(owner('GET', `/v1/models/${MARK}/versions`));
  const before = await versions();
  expect(JSON.stringify(before)).toContain('v1');
  await change();
  expect(await versions()).toEqual(before);
}
