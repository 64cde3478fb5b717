/** The services behind the gateway, by name. */
export const serviceNames = [
  'datasets',
  'training-orchestrator',
  'converter',
  'registry',
  'inference',
  'monitoring',
] as const;

export type ServiceName = (typeof serviceNames)[number];

/** Origin of each service, `http://host:port`. */
export type Upstreams = Readonly<Record<ServiceName, string>>;
