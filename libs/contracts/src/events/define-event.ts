import type { Static, TSchema } from 'typebox';

/** A fact that a service publishes: its schema, its subject and its stable CloudEvents type. */
export type EventDefinition<Name extends string = string, Data extends TSchema = TSchema> = {
  /** `<aggregate>.<fact>`; the subject is `millrace.evt.<aggregate>.<fact>.v<version>`. */
  readonly name: Name;
  readonly version: number;
  readonly subject: string;
  /** CloudEvents `ce-type`. */
  readonly type: string;
  readonly aggregate: string;
  readonly doc: string;
  readonly data: Data;
};

export type EventData<E extends EventDefinition> = Static<E['data']>;

/** Declares a fact; `doc` is one sentence saying when it is published. */
export function defineEvent<const Name extends `${string}.${string}`, Data extends TSchema>(definition: {
  name: Name;
  version?: number;
  doc: string;
  data: Data;
}): EventDefinition<Name, Data> {
  const version = definition.version ?? 1;
  const aggregate = definition.name.slice(0, definition.name.indexOf('.'));
  return Object.freeze({
    name: definition.name,
    version,
    subject: `millrace.evt.${definition.name}.v${version}`,
    type: `dev.millrace.${definition.name}.v${version}`,
    aggregate,
    doc: definition.doc,
    data: definition.data,
  });
}
