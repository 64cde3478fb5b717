import type { EventDefinition } from '@millrace/contracts';
import { context, propagation } from '@opentelemetry/api';

/** Header names of CloudEvents 1.0 binary mode and ours. */
export const HEADER = {
  id: 'ce-id',
  specVersion: 'ce-specversion',
  type: 'ce-type',
  source: 'ce-source',
  subject: 'ce-subject',
  time: 'ce-time',
  schema: 'ce-dataschema',
  contentType: 'ce-datacontenttype',
  aggregateVersion: 'millrace-aggregate-version',
  /** Whose fact it is; absent where that is not known, and then only the platform's own tenant hears of it outside. */
  tenant: 'millrace-tenant',
} as const;

/** CloudEvents headers of a message, with the trace context of the caller. */
export function messageHeaders(message: {
  id: string;
  type: string;
  source: string;
  subject: string;
  time: Date;
  aggregateVersion?: number;
  tenant?: string;
}): Record<string, string> {
  const headers: Record<string, string> = {
    [HEADER.id]: message.id,
    [HEADER.specVersion]: '1.0',
    [HEADER.type]: message.type,
    [HEADER.source]: `/millrace/${message.source}`,
    [HEADER.subject]: message.subject,
    [HEADER.time]: message.time.toISOString(),
    [HEADER.contentType]: 'application/json',
  };
  if (message.aggregateVersion !== undefined)
    headers[HEADER.aggregateVersion] = String(message.aggregateVersion);
  if (message.tenant !== undefined) headers[HEADER.tenant] = message.tenant;
  propagation.inject(context.active(), headers);
  return headers;
}

/** The committed schema file of an event. */
export function schemaUri(event: EventDefinition): string {
  return `urn:millrace:schema:${event.name}.v${event.version}`;
}
