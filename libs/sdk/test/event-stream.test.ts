import { expect, test } from '@jest/globals';
import { readEvents } from '../src/index.ts';

async function eventsOf(text: string, pieceBytes: number) {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += pieceBytes)
        controller.enqueue(bytes.slice(at, at + pieceBytes));
      controller.close();
    },
  });
  const events = [];
  for await (const event of readEvents(body)) events.push(event);
  return events;
}

test.each([1, 2, 3, 7, 1000])(
  'events are the same however the bytes are cut (%i at a time)',
  async (pieceBytes) => {
    const text =
      ': hello\n\nevent: state\ndata: {"a":"ü—"}\n\nevent: log\r\ndata: [1,\r\ndata: 2]\r\n\r\ndata:"x"\n\nevent: cut off\ndata: 1';
    expect(await eventsOf(text, pieceBytes)).toEqual([
      { event: 'state', data: { a: 'ü—' } },
      { event: 'log', data: [1, 2] },
      { event: 'message', data: 'x' },
    ]);
  },
);

test('an event without end is refused instead of filling the memory', async () => {
  await expect(eventsOf(`data: ${'x'.repeat(5 * 1024 * 1024)}`, 65_536)).rejects.toThrow(RangeError);
});
