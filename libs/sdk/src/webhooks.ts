import type { Page, PageQuery } from './shapes.ts';
import type { Transport } from './transport.ts';

/** Sending waits up to ten seconds for the receiver. */
const TEST_TIMEOUT_MS = 20_000;

/** Where events of a tenant are sent. */
export type WebhookView = {
  readonly id: string;
  readonly tenant: string;
  readonly url: string;
  readonly types: readonly string[];
  readonly note: string;
  readonly secrets: readonly { readonly createdAt: string; readonly expiresAt: string | null }[];
  readonly createdAt: string;
  readonly createdBy: string;
  readonly disabledAt: string | null;
  readonly disabledReason: string | null;
  readonly failingSince: string | null;
};

/** One attempt to deliver an event. */
export type WebhookAttempt = {
  readonly at: string;
  readonly status: number | null;
  readonly latencyMs: number;
  readonly error: string | null;
  readonly answer: string;
};

/** One event for one webhook. */
export type WebhookDelivery = {
  readonly eventId: string;
  readonly type: string;
  readonly state: 'waiting' | 'delivered' | 'failed';
  readonly attempts: number;
  readonly createdAt: string;
  readonly nextAt: string | null;
  readonly endedAt: string | null;
  readonly lastAttempt: WebhookAttempt | null;
};

type NewWebhook = { url: string; types: readonly string[]; note?: string };

/** Webhooks: who is told of events, what was sent, and sending it again. */
export function createWebhooksClient({ call }: Transport) {
  const one = (id: string) => `/v1/webhooks/${encodeURIComponent(id)}`;
  const delivery = (id: string, eventId: string) => `${one(id)}/deliveries/${encodeURIComponent(eventId)}`;
  return {
    /** The answer has the signing secret, which can be read nowhere else. */
    create: async (webhook: NewWebhook) =>
      await call<WebhookView & { secret: string }>('POST', '/v1/webhooks', { body: webhook }),
    list: async (query: PageQuery = {}) => await call<Page<WebhookView>>('GET', '/v1/webhooks', { query }),
    get: async (id: string) => await call<WebhookView>('GET', one(id)),
    change: async (id: string, change: Partial<NewWebhook> & { enabled?: boolean }) =>
      await call<WebhookView>('PATCH', one(id), { body: change }),
    delete: async (id: string) => await call<null>('DELETE', one(id)),
    /** The old secret goes on signing beside the new one for a day unless said otherwise. */
    rotateSecret: async (id: string, options: { overlapSeconds?: number } = {}) =>
      await call<WebhookView & { secret: string }>('POST', `${one(id)}/rotate-secret`, { body: options }),
    test: async (id: string) =>
      await call<WebhookAttempt>('POST', `${one(id)}/test`, { timeoutMs: TEST_TIMEOUT_MS }),
    deliveries: async (id: string, query: PageQuery & { state?: WebhookDelivery['state'] } = {}) =>
      await call<Page<WebhookDelivery>>('GET', `${one(id)}/deliveries`, { query }),
    delivery: async (id: string, eventId: string) =>
      await call<WebhookDelivery & { log: WebhookAttempt[]; payload: string }>('GET', delivery(id, eventId)),
    replay: async (id: string, eventId: string) =>
      await call<WebhookDelivery>('POST', `${delivery(id, eventId)}/replay`),
    replaySpan: async (
      id: string,
      span: { since: string; until: string; state?: WebhookDelivery['state'] },
    ) => await call<{ queued: number }>('POST', `${one(id)}/replay`, { body: span }),
  };
}
