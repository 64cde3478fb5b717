import type { Outbox } from '@millrace/bus';
import type { EventData } from '@millrace/contracts';
import { WebhookChanged, WebhookCreated, WebhookDeleted } from '@millrace/contracts';
import type { Executor } from '@millrace/database';
import type { WebhookRow } from './webhook.table.ts';

/** What can be different about a webhook. */
export type WebhookDifference = EventData<typeof WebhookChanged>['changes'][number];
type Facts = Pick<WebhookRow, 'id' | 'tenant' | 'url' | 'types' | 'disabledAt'>;

export type WebhookFacts = ReturnType<typeof createWebhookFacts>;

/** Tells of webhooks that are made, changed and deleted, in the transaction of the change; `by` is who made it. */
export function createWebhookFacts(outbox: Outbox) {
  const of = ({ id, tenant, url, types, disabledAt }: Facts, by: string) => ({
    ...{ webhookId: id, tenant, origin: new URL(url).origin, types, disabled: disabledAt !== null, by },
  });
  return {
    async created(tx: Executor, row: Facts, by: string): Promise<void> {
      await outbox.append(tx, WebhookCreated, row.id, of(row, by), { tenant: row.tenant });
    },
    /** Nothing different is no fact. */
    async changed(tx: Executor, row: Facts, changes: WebhookDifference[], by: string): Promise<void> {
      if (changes.length === 0) return;
      await outbox.append(tx, WebhookChanged, row.id, { ...of(row, by), changes }, { tenant: row.tenant });
    },
    async deleted(tx: Executor, row: Facts, by: string): Promise<void> {
      await outbox.append(tx, WebhookDeleted, row.id, of(row, by), { tenant: row.tenant });
    },
  };
}
