import type { StreamConfig } from '@nats-io/jetstream';
import {
  DiscardPolicy,
  JetStreamApiError,
  PersistMode,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { Bus } from './bus.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const MIB = 1024 * 1024;

type StreamSpec = {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly maxMessageBytes: number;
  readonly duplicateWindowMs: number;
  /** Asynchronous persistence: acknowledged before the fsync; only for what may be lost with the power. */
  readonly isAsync?: boolean;
  /** A queue of the work itself: a message goes when it is acknowledged, and a full stream refuses the next one. */
  readonly isQueue?: boolean;
  readonly doc: string;
};

/** Every stream of the platform with its bounds; services ensure them at start. */
export const streamCatalog = {
  events: {
    name: 'MILLRACE_EVENTS',
    subjects: ['millrace.evt.>'],
    maxAgeMs: 7 * DAY_MS,
    maxBytes: 512 * MIB,
    maxMessageBytes: 128 * 1024,
    duplicateWindowMs: 10 * MINUTE_MS,
    doc: 'Facts, in order within an aggregate; older ones are in the outboxes.',
  },
  jobs: {
    name: 'MILLRACE_JOBS',
    subjects: ['millrace.job.>'],
    maxAgeMs: 14 * DAY_MS,
    maxBytes: 128 * MIB,
    maxMessageBytes: 64 * 1024,
    duplicateWindowMs: 10 * MINUTE_MS,
    doc: 'Pointers to jobs, one subject for each kind and pool.',
  },
  telemetry: {
    name: 'MILLRACE_TELEMETRY',
    subjects: ['millrace.tel.>'],
    maxAgeMs: DAY_MS,
    maxBytes: 1024 * MIB,
    maxMessageBytes: 1024 * 1024,
    duplicateWindowMs: 10 * MINUTE_MS,
    isAsync: true,
    doc: 'Predictions and progress; not lost after their acknowledgement unless the power is.',
  },
  inferRequests: {
    name: 'MILLRACE_INFER',
    subjects: ['millrace.infer.>'],
    maxAgeMs: DAY_MS,
    maxBytes: 512 * MIB,
    // room below the server's largest message for the reason that a dead letter carries
    maxMessageBytes: MIB - 16 * 1024,
    duplicateWindowMs: 10 * MINUTE_MS,
    isQueue: true,
    doc: 'Inference requests that are answered later, one subject for each lane and model; gone when acknowledged.',
  },
  inferResults: {
    name: 'MILLRACE_RESULTS',
    subjects: ['millrace.result.>'],
    maxAgeMs: DAY_MS,
    maxBytes: 512 * MIB,
    maxMessageBytes: MIB,
    duplicateWindowMs: 10 * MINUTE_MS,
    doc: 'Answers to those requests, one subject for each: mailbox and request id.',
  },
  featureRows: {
    name: 'MILLRACE_FEATURES',
    subjects: ['millrace.feature.>'],
    maxAgeMs: DAY_MS,
    maxBytes: 512 * MIB,
    // room below the server's largest message for the reason that a dead letter carries
    maxMessageBytes: MIB - 16 * 1024,
    duplicateWindowMs: 10 * MINUTE_MS,
    isQueue: true,
    doc: 'Rows of feature views that are to be stored, one subject for each view; gone when acknowledged.',
  },
  deadLetters: {
    name: 'MILLRACE_DLQ',
    subjects: ['millrace.dlq.>'],
    maxAgeMs: 30 * DAY_MS,
    maxBytes: 128 * MIB,
    maxMessageBytes: 2 * 1024 * 1024,
    duplicateWindowMs: 10 * MINUTE_MS,
    doc: 'Messages that a consumer gave up, with the reason.',
  },
  advisories: {
    name: 'MILLRACE_ADVISORIES',
    subjects: [
      '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>',
      '$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>',
    ],
    maxAgeMs: 7 * DAY_MS,
    maxBytes: 32 * MIB,
    maxMessageBytes: 64 * 1024,
    duplicateWindowMs: 2 * MINUTE_MS,
    doc: "The server's own notes about messages that were given up.",
  },
} as const satisfies Record<string, StreamSpec>;

export type StreamKey = keyof typeof streamCatalog;

function toConfig(spec: StreamSpec): Partial<StreamConfig> & { name: string } {
  return {
    name: spec.name,
    subjects: [...spec.subjects],
    description: spec.doc,
    retention: spec.isQueue === true ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: spec.isQueue === true ? DiscardPolicy.New : DiscardPolicy.Old,
    max_age: nanos(spec.maxAgeMs),
    max_bytes: spec.maxBytes,
    max_msg_size: spec.maxMessageBytes,
    duplicate_window: nanos(spec.duplicateWindowMs),
    num_replicas: 1,
    ...(spec.isAsync === true ? { persist_mode: PersistMode.Async } : {}),
  };
}

/** Subjects a stream has that the catalogue lacks would lose messages: refused rather than changed silently. */
function assertNotDestructive(spec: StreamSpec, current: StreamConfig): void {
  const lost = current.subjects.filter((subject) => !spec.subjects.includes(subject));
  if (lost.length > 0) {
    throw new Error(
      `Stream ${spec.name} also carries ${lost.join(', ')}; remove them by hand before this version can run.`,
    );
  }
}

async function ensureStream(bus: Bus, spec: StreamSpec): Promise<void> {
  const wanted = toConfig(spec);
  try {
    const { config } = await bus.jsm.streams.info(spec.name);
    assertNotDestructive(spec, config);
    const isSame =
      config.max_age === wanted.max_age &&
      config.max_bytes === wanted.max_bytes &&
      config.max_msg_size === wanted.max_msg_size &&
      config.duplicate_window === wanted.duplicate_window &&
      config.subjects.length === spec.subjects.length;
    if (!isSame) {
      // persist_mode cannot be changed on a stream that exists
      const { persist_mode: _, ...update } = wanted;
      await bus.jsm.streams.update(spec.name, { ...update, num_replicas: config.num_replicas });
    }
  } catch (error) {
    if (!(error instanceof JetStreamApiError) || error.status !== 404) throw error;
    await bus.jsm.streams.add(wanted).catch((addError: unknown) => {
      // another service made it in the same moment
      if (!(addError instanceof JetStreamApiError) || addError.code !== 10058) throw addError;
    });
  }
}

/** Makes the streams that are missing and updates the bounds of those there are; safe to call at every start. */
export async function ensureStreams(
  bus: Bus,
  keys: readonly StreamKey[] = Object.keys(streamCatalog) as StreamKey[],
): Promise<void> {
  for (const key of keys) await ensureStream(bus, streamCatalog[key]);
}
