import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Message } from '../../src/grpc/transport/message-reader.ts';
import { createByteBudget, framed, MessageReader } from '../../src/grpc/transport/message-reader.ts';
import { createMemoryPool } from '../../src/http/memory-pool.ts';

const MESSAGE_BYTES_MAX = 200_000;

function createReader(alignAt: (beginning: Buffer) => number = () => 0, budgetBytes = 1_000_000) {
  const messages: Message[] = [];
  const budget = createByteBudget(budgetBytes);
  const pool = createMemoryPool(1_000_000);
  const limits = { messageBytesMax: MESSAGE_BYTES_MAX, budget, pool, alignAt };
  return { reader: new MessageReader(limits, (message) => messages.push(message)), messages, budget };
}

describe('messages', () => {
  test('are the same however they are cut', () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 6 });
    fc.assert(
      fc.property(parts, fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), (sent, cuts) => {
        const { reader, messages } = createReader();
        let rest = Buffer.concat(sent.map(framed));
        for (let i = 0; rest.length > 0; i += 1) {
          const size = cuts[i % cuts.length] as number;
          reader.push(Buffer.from(rest.subarray(0, size)));
          rest = rest.subarray(size);
        }
        expect(messages.map(({ bytes }) => bytes.toString('hex'))).toEqual(
          sent.map((bytes) => Buffer.from(bytes).toString('hex')),
        );
        expect(reader.isBetween()).toBe(true);
      }),
    );
  });

  test('in many pieces lie so that the part named is aligned', () => {
    for (let offset = 0; offset < 16; offset += 1) {
      const { reader, messages } = createReader(() => offset);
      const message = framed(Buffer.alloc(100_000, offset));
      reader.push(message.subarray(0, 60_000));
      reader.push(message.subarray(60_000));
      const [{ bytes }] = messages as [Message];
      expect((bytes.byteOffset + offset) % 8).toBe(0);
      expect(bytes).toEqual(Buffer.alloc(100_000, offset));
    }
  });

  test('are bounded alone and together, and what was held is given back', () => {
    const { reader, messages } = createReader(() => 0, 250_000);
    expect(() => reader.push(framed(Buffer.alloc(MESSAGE_BYTES_MAX + 1)))).toThrow(/at most 200000/);
    reader.push(framed(Buffer.alloc(150_000)));
    expect(() => reader.push(framed(Buffer.alloc(150_000)))).toThrow(/try again/);
    (messages[0] as Message).release();
    reader.push(framed(Buffer.alloc(150_000)));
    expect(messages).toHaveLength(2);
  });

  test('that never become whole give their memory back', () => {
    const { reader, budget } = createReader(() => 0, 150_000);
    reader.push(framed(Buffer.alloc(100_000)).subarray(0, 10));
    expect(budget.take(100_000)).toBe(false);
    reader.abandon();
    expect(budget.take(100_000)).toBe(true);
  });
});
