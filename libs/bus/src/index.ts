export type { Bus, BusOptions } from './bus.ts';
export { connectBus } from './bus.ts';
export type { ConsumerDefinition, ConsumerDeps, MessageInfo } from './consumer.ts';
export { ownerOf, retryDelayMs, startConsumer } from './consumer.ts';
export type { DeadLetter } from './dead-letter.ts';
export {
  buryMessage,
  deadLetterHeaders,
  dropDeadLetter,
  getDeadLetter,
  listDeadLetters,
  redriveDeadLetter,
} from './dead-letter.ts';
export { endSubscription } from './end-subscription.ts';
export { featureSubject } from './feature-subject.ts';
export { HEADER, messageHeaders } from './headers.ts';
export { isTaken, markTaken } from './inbox.ts';
export type { InferLane } from './inference-subjects.ts';
export {
  INFER_HEADER,
  inferJobSubject,
  inferLanes,
  inferSubject,
  mailboxSubject,
  resultSubject,
} from './inference-subjects.ts';
export type { BusLogger } from './logger.ts';
export type { BusTables } from './outbox.table.ts';
export { createBusTables } from './outbox.table.ts';
export type { Outbox, OutboxMessage } from './outbox.ts';
export { createOutbox, MAX_PAYLOAD_BYTES } from './outbox.ts';
export type { OutboxRelay, OutboxRelayOptions } from './outbox-relay.ts';
export { createOutboxRelay } from './outbox-relay.ts';
export type { DurableSpec, Pull } from './pull.ts';
export { ensureDurable, startPull } from './pull.ts';
export { mentionedDigests, serveReferencedDigests } from './referenced-digests.ts';
export type { RpcMethod } from './rpc.ts';
export { callRpc, RPC_TIMEOUT_MS, rpcSubject, serveRpc } from './rpc.ts';
export type { StreamKey } from './streams.ts';
export { ensureStreams, streamCatalog } from './streams.ts';
export type { TenantRecords } from './tenant-records.ts';
export { assertOwned, serveTenantRecords, usageAt } from './tenant-records.ts';
