import { expect, test } from '@jest/globals';
import { createLaneSlots } from '../../src/nats/lane-slots.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a place goes to the high lane first, within a lane to the first, and never to more than there are', async () => {
  const slots = createLaneSlots(2);
  const order: string[] = [];
  const releases: (() => void)[] = [];
  const take = (lane: 'high' | 'normal', name: string) =>
    void slots.take(lane).then((release) => {
      order.push(name);
      releases.push(release);
    });
  for (const name of ['n1', 'n2', 'n3', 'n4']) take('normal', name);
  await turn();
  expect(order).toEqual(['n1', 'n2']);
  take('high', 'h1');
  take('high', 'h2');
  for (let i = 0; i < 4; i += 1) {
    releases.shift()?.();
    await turn();
    expect(releases).toHaveLength(2);
  }
  expect(order).toEqual(['n1', 'n2', 'h1', 'h2', 'n3', 'n4']);
});

test('closing refuses who waits and who comes', async () => {
  const slots = createLaneSlots(1);
  await slots.take('normal');
  const waiting = slots.take('high');
  slots.close();
  await expect(waiting).rejects.toMatchObject({ code: 'shutting_down' });
  await expect(slots.take('normal')).rejects.toMatchObject({ code: 'shutting_down' });
});
