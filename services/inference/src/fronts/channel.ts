import { AppError, appErrorFrom, isAppError } from '@millrace/contracts';

/** What one side can be asked: by name, its parameters and its answer. Both travel as JSON. */
export type Calls = Record<string, { params: unknown; result: unknown }>;

/** Functions that answer the calls of the other side. */
export type Handlers<C extends Calls> = {
  [K in keyof C]: (params: C[K]['params']) => Promise<C[K]['result']>;
};

/** The other end of a process channel. */
export type Peer = {
  send(message: object): void;
  onMessage(listener: (message: unknown) => void): void;
};

/** Asks the other side; many calls may be on their way at once. */
export type Channel<C extends Calls> = {
  /** Throws the error of the other side, `deadline_exceeded` after `timeoutMs`, or the reason of `close`. */
  call<K extends keyof C & string>(
    name: K,
    params: C[K]['params'],
    timeoutMs: number,
  ): Promise<C[K]['result']>;
  /** Rejects every call on its way and all later ones. */
  close(reason: AppError): void;
};

type Message =
  | { channel: 'call'; id: number; name: string; params: unknown }
  | { channel: 'result'; id: number; result: unknown }
  | { channel: 'error'; id: number; code: string; message: string };

type Pending = { resolve(value: unknown): void; reject(error: unknown): void; timer: NodeJS.Timeout };

function isMessage(value: unknown): value is Message {
  return typeof value === 'object' && value !== null && 'channel' in value;
}

function describe(error: unknown): { code: string; message: string } {
  if (isAppError(error)) return { code: error.code, message: error.message };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}

/** Opens a channel on `peer`; messages of other kinds are left to their own listeners. */
export function openChannel<Theirs extends Calls, Ours extends Calls>(
  peer: Peer,
  handlers: Handlers<Ours>,
): Channel<Theirs> {
  const pending = new Map<number, Pending>();
  let nextId = 1;
  let closedBy: AppError | undefined;

  function settle(id: number): Pending | undefined {
    const waiting = pending.get(id);
    pending.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }

  async function answer({ id, name, params }: Message & { channel: 'call' }): Promise<void> {
    try {
      const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
      if (handler === undefined) throw new Error(`There is no call "${name}".`);
      peer.send({ channel: 'result', id, result: await handler(params as never) });
    } catch (error) {
      peer.send({ channel: 'error', id, ...describe(error) });
    }
  }

  peer.onMessage((message) => {
    if (!isMessage(message)) return;
    if (message.channel === 'call') void answer(message);
    else if (message.channel === 'result') settle(message.id)?.resolve(message.result);
    else settle(message.id)?.reject(appErrorFrom(message));
  });

  return {
    call(name, params, timeoutMs) {
      if (closedBy !== undefined) return Promise.reject(closedBy);
      const id = nextId++;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          const text = `A process of the server did not answer "${name}" within ${timeoutMs} ms.`;
          settle(id)?.reject(new AppError('deadline_exceeded', text));
        }, timeoutMs);
        pending.set(id, { resolve: resolve as (value: unknown) => void, reject, timer });
        peer.send({ channel: 'call', id, name, params });
      });
    },
    close(reason) {
      closedBy = reason;
      for (const id of [...pending.keys()]) settle(id)?.reject(reason);
    },
  };
}
