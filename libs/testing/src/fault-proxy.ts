import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Bytes held back by latency for one direction of one connection; over it the sender is paused. */
const MAX_DELAYED_BYTES = 4 * 1024 * 1024;

/** A TCP proxy on loopback that can behave like a bad network. */
export type FaultProxy = {
  readonly port: number;
  /** The same URL, led through the proxy. */
  through(url: string): string;
  /** Resets every connection and refuses new ones until heal(). */
  cut(): void;
  /** Keeps connections open but carries nothing, so that only timeouts can notice. */
  halfOpen(): void;
  /** Delays each direction by so many ms. */
  setLatency(latencyMs: number): void;
  /** Ends all faults; connections reset by cut() stay gone, bytes held by halfOpen() flow on. */
  heal(): void;
  /** Number of connections carried now. */
  connections(): number;
  /** Closes the proxy and all that it carries. */
  close(): Promise<void>;
};

type State = { mode: 'open' | 'cut' | 'half-open'; latencyMs: number };

/** Starts a proxy in front of `host:port` of the given URL. */
export async function createFaultProxy(targetUrl: string): Promise<FaultProxy> {
  const target = new URL(targetUrl);
  const state: State = { mode: 'open', latencyMs: 0 };
  const sockets = new Set<Socket>();
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    return socket;
  };
  const server = createServer({ pauseOnConnect: true }, (client) => {
    track(client);
    if (state.mode === 'cut') {
      client.resetAndDestroy();
      return;
    }
    const upstream = track(connect(Number(target.port), target.hostname));
    carry(client, upstream, state);
    carry(upstream, client, state);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const setFlow = (mode: State['mode']): void => {
    state.mode = mode;
    for (const socket of sockets) {
      if (mode === 'cut') socket.resetAndDestroy();
      else if (mode === 'half-open') socket.pause();
      else socket.resume();
    }
  };
  return {
    port,
    through(url) {
      const led = new URL(url);
      led.host = `127.0.0.1:${port}`;
      return led.href;
    },
    cut: () => setFlow('cut'),
    halfOpen: () => setFlow('half-open'),
    setLatency(latencyMs) {
      state.latencyMs = latencyMs;
    },
    heal() {
      state.latencyMs = 0;
      setFlow('open');
    },
    connections: () => Math.ceil(sockets.size / 2),
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Carries one direction; order is kept because each chunk waits for the one before. */
function carry(from: Socket, to: Socket, state: State): void {
  let held = 0;
  let last = Promise.resolve();
  const inOrder = (work: () => void): void => {
    const { latencyMs } = state;
    last = last.then(() => (latencyMs > 0 ? pause(latencyMs) : undefined)).then(work);
  };
  from.on('data', (chunk: Buffer) => {
    held += chunk.length;
    if (held > MAX_DELAYED_BYTES) from.pause();
    inOrder(() => {
      held -= chunk.length;
      if (to.destroyed) return;
      const isDrained = to.write(chunk);
      if (!isDrained) from.pause();
      else if (state.mode === 'open') from.resume();
    });
  });
  to.on('drain', () => {
    if (state.mode === 'open') from.resume();
  });
  from.on('end', () => inOrder(() => to.end()));
  from.on('close', () => inOrder(() => to.destroy()));
  // A data handler alone would set the socket flowing, whatever the mode.
  if (state.mode === 'open') from.resume();
  else from.pause();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
