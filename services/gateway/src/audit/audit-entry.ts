import type { Credentials, Principal } from '@millrace/service-kit';
import type { AuditRow } from './audit.table.ts';

/** `request`: something may have changed; `denial`: it was refused; `login`: a token came for the first time. */
export const auditKinds = ['request', 'denial', 'login', 'lost'] as const;
export type AuditKind = (typeof auditKinds)[number];

/** What happened. Never a body, a query or a secret. */
export type AuditEntry = Omit<AuditRow, 'seq' | 'prevHash' | 'hash'> & { readonly kind: AuditKind };

/** The part of a row that its hash covers, in words that survive a database. */
export function hashedPart(row: Omit<AuditRow, 'prevHash' | 'hash'>): Record<string, unknown> {
  const { tenant, seq, at, kind, principal, method, route, resource, status, code } = row;
  const { requestId, remoteAddress } = row;
  const what = { kind, principal, method, route, resource, status, code };
  return { tenant, seq, at: at.toISOString(), ...what, requestId, remoteAddress };
}

/** A token of an identity provider that this gateway had not seen before. */
export function loginEntry(principal: Principal, credentials: Credentials): AuditEntry {
  return {
    tenant: principal.tenant,
    at: new Date(),
    kind: 'login',
    principal: principal.id,
    method: '-',
    route: '-',
    resource: '-',
    status: 0,
    code: null,
    requestId: '-',
    remoteAddress: credentials.remoteAddress ?? '-',
  };
}
