import type { Bus } from '@millrace/bus';
import { ModelVersionRegistered, ModelVersionStageChanged } from '@millrace/contracts';
import type { VersionResolver } from './version-resolver.ts';

/**
 * Tells this process of each version that is registered or moved. It listens on core NATS beside the durable consumer,
 * because every replica has to hear of it; a hint that is lost costs the resolver's freshness time, no more.
 */
export function watchVersions(
  bus: Bus,
  resolver: VersionResolver,
  onArchived: (modelVersionId: string) => void,
): { stop(): void } {
  const subscriptions = [ModelVersionRegistered, ModelVersionStageChanged].map((event) =>
    bus.nc.subscribe(event.subject, {
      callback: (error, message) => {
        if (error !== null) return;
        const data = message.json<{ model?: unknown; modelVersionId?: unknown; to?: unknown }>();
        if (typeof data.model === 'string') resolver.invalidate(data.model);
        if (data.to === 'archived' && typeof data.modelVersionId === 'string')
          onArchived(data.modelVersionId);
      },
    }),
  );
  return {
    stop() {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}
