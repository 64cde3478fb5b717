import { describe, expect, test } from '@jest/globals';
import { createKeySeeker } from '../src/auth/key-seeker.ts';

/** A gateway that has some keys, and a seeker that brings them here. */
function setting(held: readonly string[] = []) {
  const gateway = new Set(held);
  const here = new Set<string>();
  const questions: string[][] = [];
  const seeker = createKeySeeker({
    async ask(ids) {
      questions.push([...ids]);
      for (const id of ids) if (gateway.has(id)) here.add(id);
    },
    isReady: () => true,
    isKnown: (id) => here.has(id),
  });
  return { gateway, here, questions, seeker };
}

describe('a key that is not known here', () => {
  test('is asked about once, however many requests came with it', async () => {
    const { here, questions, seeker } = setting(['new']);
    await Promise.all(Array.from({ length: 50 }, () => seeker.seek('new')));
    expect(questions).toEqual([['new']]);
    expect(here.has('new')).toBe(true);
  });

  test('and that the gateway does not know either is not asked about again', async () => {
    const { questions, seeker } = setting();
    await seeker.seek('forged');
    expect(seeker.seek('forged')).toBeUndefined();
    expect(questions).toEqual([['forged']]);
  });

  test('is found although others ask about thousands that nobody has, in few questions', async () => {
    const { here, questions, seeker } = setting(['new']);
    const forged = Array.from({ length: 400 }, (_, i) => seeker.seek(`first${i}`));
    await forged[0];
    const more = Array.from({ length: 400 }, (_, i) => seeker.seek(`second${i}`));
    await seeker.seek('new');
    expect(here.has('new')).toBe(true);
    await Promise.all([...forged, ...more]);
    expect(questions).toHaveLength(2);
  });

  test('is refused unasked when a question is full', async () => {
    const { questions, seeker } = setting();
    const asked = Array.from({ length: 600 }, (_, i) => seeker.seek(`forged${i}`));
    expect(asked.filter((one) => one === undefined)).toHaveLength(100);
    await Promise.all(asked);
    expect(questions.map((ids) => ids.length)).toEqual([500]);
  });

  test('is not held to be unknown while there is no key set at all', async () => {
    let isReady = false;
    const seeker = createKeySeeker({
      ask: async () => undefined,
      isReady: () => isReady,
      isKnown: () => false,
    });
    await seeker.seek('new');
    isReady = true;
    expect(seeker.seek('new')).toBeDefined();
    await seeker.seek('new');
    expect(seeker.seek('new')).toBeUndefined();
  });
});
