import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import type { CompileNow } from './route-schemas.ts';
import { compilingOf } from './route-schemas.ts';

type Factory = ReturnType<typeof SerializerSelector>;

/**
 * Fastify's own writers of answers, each compiled when the first answer needs it. Compiling those of every route and
 * status was a third of what a service did at its start. What compiles each is added to `all`.
 */
export function createSerializerFactory(all: CompileNow[]): Factory {
  const build = SerializerSelector();
  return (schemas, options) => {
    const compile = build(schemas, options);
    return (route) => {
      let write: ReturnType<typeof compile> | undefined;
      const compiled = () => {
        write ??= compile(route);
        return write;
      };
      all.push(compilingOf(route, `answer ${route.httpStatus}`, compiled));
      return (answer: unknown) => compiled()(answer);
    };
  };
}
