/** Where the three servers are and how to enter them; `services` may do all, `worker` only its own work. */
export type InfraCoordinates = {
  database: { url: string };
  nats: {
    servicesUrl: string;
    servicesInboxPrefix: string;
    workerUrl: string;
    workerInboxPrefix: string;
  };
  s3: {
    endpoint: string;
    region: string;
    bucket: string;
    accessKeyId: string;
    secretAccessKey: string;
    workerAccessKeyId: string;
    workerSecretAccessKey: string;
  };
};

/** Prefixes of reply subjects that the two NATS users may subscribe to. */
export const INBOX_PREFIXES = { services: '_INBOX_services', worker: '_INBOX_worker' } as const;
