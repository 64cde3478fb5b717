// What Node's sockets take by themselves: counts the bytes of each request and sends the answer to the first row of the
// model, whatever was asked. No HTTP server, no number read, no model, no key, no metrics: a server on Node can be no
// faster than this. PORT, MODELS (a folder), WORKERS: processes.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';

const { MODELS = '', PORT = '9000', WORKERS = '1' } = process.env;
const END_OF_HEAD = '\r\n\r\n';
const HEAD = /^POST \/(?<kind>\w+)\/(?:models\/)?(?<model>\w+).*?\r\ncontent-length: *(?<length>\d+)/is;
type Described = { models: Record<string, { output: string; width: number }> };

function answers(): Map<string, Buffer> {
  const { models } = JSON.parse(readFileSync(join(MODELS, 'models.json'), 'utf8')) as Described;
  const made = new Map<string, Buffer>();
  for (const [name, { output, width }] of Object.entries(models)) {
    const bytes = readFileSync(join(MODELS, `${name}.answers`)).subarray(0, width * 4);
    const data = Array.from({ length: width }, (_, i) => bytes.readFloatLE(i * 4));
    const outputs = [{ name: output, datatype: 'FP32', shape: [1, width], data }];
    const whole = (type: string, body: Buffer): Buffer =>
      Buffer.concat([
        Buffer.from(
          `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}${END_OF_HEAD}`,
        ),
        body,
      ]);
    made.set(`v2/${name}`, whole('application/json', Buffer.from(JSON.stringify({ outputs }))));
    made.set(`octets/${name}`, whole('application/octet-stream', bytes));
  }
  return made;
}

function serve(): void {
  const byPath = answers();
  const answer = (socket: Socket): void => {
    let reply: Buffer | undefined;
    let missing = 0;
    socket.setNoDelay(true).on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      if (missing === 0) {
        // a load client sends a head in one piece, and no request before the answer to the last
        const { kind, model, length } = HEAD.exec(bytes.toString('latin1', 0, 2_048))?.groups ?? {};
        reply = byPath.get(`${kind}/${model}`);
        if (reply === undefined) {
          socket.destroy();
          return;
        }
        missing = Number(length) + bytes.indexOf(END_OF_HEAD) + END_OF_HEAD.length;
      }
      missing -= bytes.length;
      if (missing <= 0 && reply !== undefined) {
        missing = 0;
        socket.write(reply);
      }
    });
  };
  createServer(answer).listen({ port: Number(PORT), host: '127.0.0.1' });
}

if (Number(WORKERS) > 1 && cluster.isPrimary) {
  for (let worker = 0; worker < Number(WORKERS); worker += 1) cluster.fork();
} else serve();
