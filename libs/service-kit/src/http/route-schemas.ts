/** What compiles the schema of a part of a route now. */
export type CompileNow = () => unknown;

/** The schemas of the routes of each app, which are else compiled when the first request needs them. */
const schemas = new WeakMap<object, CompileNow[]>();

/** Keeps what compiles the schemas of an app's routes. */
export function keepSchemas(app: object, all: CompileNow[]): void {
  schemas.set(app, all);
}

/** What compiles a schema, with an error that says where the schema is. */
export function compilingOf(
  where: { method?: string | undefined; url?: string | undefined },
  part: string,
  compile: CompileNow,
): CompileNow {
  return () => {
    try {
      return compile();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`The schema of ${part} of ${where.method} ${where.url} is faulty: ${why}`, { cause });
    }
  };
}

/**
 * Compiles the schemas of all routes of an app that is ready, so that a faulty one shows before its first request.
 * Returns how many there are; throws an Error that names the first faulty one.
 */
export function compileSchemas(app: object): number {
  const all = schemas.get(app) ?? [];
  for (const compile of all) compile();
  return all.length;
}
