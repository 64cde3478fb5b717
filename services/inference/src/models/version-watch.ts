import type { Bus } from '@millrace/bus';
import {
  HistoryAdvanced,
  ModelVersionRegistered,
  ModelVersionStageChanged,
  RolloutChanged,
  RolloutDeleted,
  RolloutRolledBack,
} from '@millrace/contracts';
import type { VersionResolver } from './version-resolver.ts';

/** What makes an answer of the registry old. */
const FACTS = [
  ModelVersionRegistered,
  ModelVersionStageChanged,
  RolloutChanged,
  RolloutDeleted,
  RolloutRolledBack,
  HistoryAdvanced,
];

/**
 * Tells this process of each version that is registered, moved or deleted, of aliases, policies and rollouts that change. It listens on core NATS beside the durable consumer,
 * because every replica has to hear of it; a hint that is lost costs the resolver's freshness time, no more.
 */
export function watchVersions(
  bus: Bus,
  resolver: VersionResolver,
  onArchived: (modelVersionId: string) => void,
): { stop(): void } {
  const subscriptions = FACTS.map((event) =>
    bus.nc.subscribe(event.subject, {
      callback: (error, message) => {
        if (error !== null) return;
        const data = message.json<{
          model?: unknown;
          modelVersionId?: unknown;
          to?: unknown;
          action?: unknown;
        }>();
        if (typeof data.model === 'string') resolver.invalidate(data.model);
        const isGone = data.to === 'archived' || data.action === 'version-deleted';
        if (isGone && typeof data.modelVersionId === 'string') onArchived(data.modelVersionId);
      },
    }),
  );
  return {
    stop() {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
