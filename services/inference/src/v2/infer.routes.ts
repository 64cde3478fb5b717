import { AppError } from '@millrace/contracts';
import type { BodyMemory, ExpressRoute, HttpApp, Logger } from '@millrace/service-kit';
import { protocolRefusal } from '@millrace/service-kit';
import type { Body } from '../http/body-reader.ts';
import type { InferCall } from './infer.ts';
import { HEADER_LENGTH } from './infer.ts';
import { refuseOtherMethods } from './protocol-errors.ts';
import { Params, type Target, tags } from './protocol-paths.ts';

type Infer = (call: InferCall) => ReturnType<ExpressRoute['answer']>;

const URLS = ['/models/:model/infer', '/models/:model/versions/:version/infer'] as const;
const SCOPE = 'predict';
/** A name that no URL encodes. */
const PLAIN = '([A-Za-z0-9._~-]+)';
const pathOf = (url: string): RegExp => new RegExp(`^${url.replaceAll(/:\w+/g, PLAIN)}$`);

/** `POST …/infer` for the complete server. */
export function inferRoutes(infer: Infer, bodyBytesMax: number): (app: HttpApp) => void {
  return (app) => {
    for (const url of URLS) {
      app.post<Target>(
        url,
        {
          config: { scope: SCOPE },
          bodyLimit: bodyBytesMax,
          // the schema is documentation: the resolver checks the names
          validatorCompiler: () => () => true,
          schema: { tags, params: Params },
        },
        async (request, reply) => {
          const sent = request.body as Body | undefined;
          if (sent === undefined)
            throw new AppError('invalid_json', 'The body is empty; send a JSON object.');
          const { memory, bytes: body } = sent;
          const { headers, params, principal } = request;
          const { socket } = request.raw;
          const { model, version } = params;
          try {
            const answer = await infer({
              principal,
              model,
              version,
              body,
              memory,
              headers,
              isGone: () => socket.destroyed,
            });
            for (let i = 0; i < answer.headers.length; i += 2)
              void reply.header(answer.headers[i] as string, answer.headers[i + 1]);
            return reply.send(answer.body);
          } finally {
            memory.release();
          }
        },
      );
      refuseOtherMethods(app, url, 'POST');
    }
  };
}

/** The same straight from the socket. */
export function inferExpress(
  infer: Infer,
  options: { prefix: string; bodyBytesMax: number; lease(): BodyMemory; logger: Logger },
): ExpressRoute[] {
  return URLS.map((url) => ({
    url: options.prefix + url,
    path: pathOf(options.prefix + url),
    scope: SCOPE,
    bodyBytesMax: options.bodyBytesMax,
    lease: options.lease,
    alignedAt(headers) {
      const length = Number(headers[HEADER_LENGTH] ?? 0);
      return Number.isSafeInteger(length) && length >= 0 ? length : 0;
    },
    answer: ({ principal, params, body, memory, headers, isGone }) =>
      infer({ principal, model: params[0] as string, version: params[1], body, memory, headers, isGone }),
    refuse: (error) => protocolRefusal(error, options.bodyBytesMax, options.logger, url),
  }));
}
