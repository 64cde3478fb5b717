import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import { type AppError, newId } from '@millrace/contracts';
import type { Principal } from '@millrace/service-kit';
import { anonymousPrincipal, retryAfterSeconds } from '@millrace/service-kit';
import { grpcStatus, percentEncode, STATUS, timeoutMs } from './status.ts';

const RESPONSE_HEADERS = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-accept-encoding': 'identity,gzip,deflate',
};
const REQUEST_ID = /^[A-Za-z0-9._-]{8,128}$/;

type Trailers = Record<string, string>;

/** One call: a stream of HTTP/2 with the headers, messages and trailers of gRPC. */
export class Call {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly method: string;
  /** When its headers came (`performance.now()`). */
  readonly startedAt = performance.now();
  /** Who makes it; nobody in particular until that was checked. */
  principal: Principal = anonymousPrincipal;
  /** How long the caller waits, of `grpc-timeout` (ms). */
  readonly timeoutMs: number | undefined;
  /** The status that was sent; undefined while the call lasts. */
  status: number | undefined;
  /** When the end was sent (`performance.now()`). */
  endedAt: number | undefined;
  /** Whether the caller went away before the end: nobody reads an answer. */
  isGone = false;
  private trailers: Trailers | undefined;
  private hasHeaders = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, method: string) {
    this.stream = stream;
    this.headers = headers;
    this.method = method;
    this.timeoutMs = timeoutMs(headers['grpc-timeout']);
  }

  private begin(): void {
    if (this.hasHeaders) return;
    this.hasHeaders = true;
    this.stream.on('wantTrailers', () => this.stream.sendTrailers(this.trailers ?? { 'grpc-status': '0' }));
    this.stream.respond(RESPONSE_HEADERS, { waitForTrailers: true });
  }

  /** Sends a message, its prefix included; false when the caller reads too slowly and `stream` will say `drain`. */
  write(message: Buffer): boolean {
    if (this.isOver()) return true;
    this.begin();
    return this.stream.write(message);
  }

  /** Ends the call well, after `message` if there is one. */
  end(message?: Buffer): void {
    if (this.isOver()) return;
    this.status = STATUS.ok;
    this.endedAt = performance.now();
    this.begin();
    this.stream.end(message);
  }

  /** Ends the call with an error: its status, its text and the stable code; returns the id of the request. */
  fail(error: AppError): string {
    const given = this.headers['x-request-id'];
    const requestId = typeof given === 'string' && REQUEST_ID.test(given) ? given : newId();
    if (this.isOver()) return requestId;
    this.status = grpcStatus(error);
    this.endedAt = performance.now();
    const retryAfter = retryAfterSeconds(error);
    const trailers: Trailers = {
      'grpc-status': String(this.status),
      'grpc-message': percentEncode(error.message),
      'millrace-code': error.code,
      'x-request-id': requestId,
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
    };
    if (this.hasHeaders) {
      this.trailers = trailers;
      this.stream.end();
    } else {
      this.hasHeaders = true;
      this.stream.respond({ ...RESPONSE_HEADERS, ...trailers }, { endStream: true });
    }
    // whatever of the request is still on its way is not wanted
    if (!this.stream.readableEnded) this.stream.close(constants.NGHTTP2_NO_ERROR);
    return requestId;
  }

  /** Whether the end was sent or the stream is gone. */
  isOver(): boolean {
    return this.status !== undefined || this.stream.destroyed || this.stream.closed;
  }
}
