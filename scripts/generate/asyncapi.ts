import { inferLanes, streamCatalog } from '@millrace/bus';
import { eventCatalog, workerMethods, workerPools } from '@millrace/contracts';
import { inferChannel, inferJobChannels, inferMessages } from './asyncapi-inference.ts';
import type { Json, Schema } from './schemas.ts';
import { foldedSchemas, namedSchemas, pascalCase, repointed } from './schemas.ts';

const MESSAGES = '#/components/messages/';
const SCHEMAS = '#/components/schemas/';
/** The service that owns the jobs of each kind. */
const jobOwners = { train: 'training-orchestrator', convert: 'converter', ingest: 'datasets' };

/** A channel of the document before its form. */
export type Channel = {
  key: string;
  address: string;
  message: string;
  doc: string;
  stream?: StreamKey;
  extra?: Schema;
};
type StreamKey = keyof typeof streamCatalog;

/**
 * The AsyncAPI 3.0 document of everything on the bus: events, jobs, request/reply and telemetry. The NATS binding
 * says nothing about JetStream, so stream facts are under `x-jetstream`.
 */
export function asyncApi(): Schema {
  const channels = [...eventChannels(), ...jobChannels(), ...telemetryChannels(), ...inferJobChannels()];
  const rpc = [...rpcChannels(), inferChannel(toChannel)];
  const folded = foldedSchemas();
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Millrace bus',
      version: '1.0.0',
      description:
        'Messages between the services and the workers, as JSON over NATS. Events carry CloudEvents 1.0 headers in ' +
        'binary mode. A breaking change gets a new subject version; consumers ignore unknown fields.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      local: { host: '127.0.0.1:4222', protocol: 'nats', description: 'The port is in connection.json.' },
    },
    channels: Object.fromEntries([
      ...channels.map((channel) => [channel.key, toChannel(channel)] as const),
      ...rpc.flatMap((method) => [method.channel, method.replyChannel]),
    ]),
    operations: Object.fromEntries([
      ...channels.map((channel) => [`send.${channel.key}`, operation('send', channel.key)] as const),
      ...rpc.map((method) => method.operation),
    ]),
    components: {
      messages: {
        ...Object.fromEntries(
          [...folded.keys()].map((name) => [name, { name, payload: { $ref: SCHEMAS + name } }]),
        ),
        Empty: { name: 'Empty', summary: 'No content.' },
        ...inferMessages(),
      },
      schemas: Object.fromEntries([...folded].map(([name, schema]) => [name, repointed(schema, SCHEMAS)])),
    },
    'x-jetstream': streams(),
  };
}

function eventChannels(): Channel[] {
  return eventCatalog.map((event) => ({
    key: `event.${event.name}.v${event.version}`,
    address: event.subject,
    message: pascalCase(event.name),
    doc: event.doc,
    stream: 'events',
    extra: { 'x-cloudevents': { type: event.type } },
  }));
}

function jobChannels(): Channel[] {
  return [
    {
      key: 'job',
      address: 'millrace.job.{kind}.{pool}',
      message: 'JobMessage',
      doc: 'A pointer to a queued job; a worker of the pool claims it from its owner. Acknowledged last.',
      stream: 'jobs',
      extra: { 'x-consumer': { durable: '{kind}-{pool}', ackPolicy: 'explicit', mode: 'pull' } },
    },
    {
      key: 'job-cancel-hint',
      address: 'millrace.ctl.job.{jobId}.cancel',
      message: 'Empty',
      doc: 'A hint without content that a job was cancelled; the worker renews at once and obeys the answer.',
    },
  ];
}

function telemetryChannels(): Channel[] {
  return [
    {
      key: 'job-telemetry',
      address: 'millrace.tel.{kind}.{jobId}',
      message: 'JobTelemetry',
      doc: 'Progress and log lines of running jobs; may be lost and never decides anything.',
      stream: 'telemetry',
    },
    {
      key: 'feature-rows',
      address: 'millrace.feature.{viewId}',
      message: 'FeatureRows',
      doc: 'Rows of a feature view to be stored, each message once by its id; the headers name its tenant.',
      stream: 'featureRows',
    },
    {
      key: 'prediction-batch',
      address: 'millrace.tel.prediction.{modelVersionId}',
      message: 'PredictionBatch',
      doc: 'Batches of answered predictions of one model version.',
      stream: 'telemetry',
    },
  ];
}

function rpcChannels(): {
  channel: [string, Schema];
  replyChannel: [string, Schema];
  operation: [string, Schema];
}[] {
  return Object.keys(workerMethods).map((method) => {
    const name = pascalCase(method);
    const request = namedSchemas().has(`${name}Request`) ? `${name}Request` : 'FenceRequest';
    const reply = namedSchemas().has(`${name}Reply`) ? `${name}Reply` : 'FenceReply';
    const key = `rpc.${method}`;
    return {
      channel: [
        key,
        toChannel({
          key,
          address: `millrace.rpc.{service}.${method}`,
          message: request,
          doc: `Workers ask the owner of a job; services: ${Object.values(jobOwners).join(', ')}.`,
        }),
      ],
      replyChannel: [
        `${key}.reply`,
        {
          address: null,
          description: 'The inbox of the caller; an error comes back as {"error": {"code", "message"}}.',
          messages: { [reply]: { $ref: MESSAGES + reply } },
        },
      ],
      operation: [
        `call.${method}`,
        {
          ...operation('send', key),
          reply: { channel: { $ref: `#/channels/${key}.reply` } },
        },
      ],
    };
  });
}

function toChannel(channel: Channel): Schema {
  const names = [...channel.address.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
  return {
    address: channel.address,
    description: channel.doc,
    messages: { [channel.message]: { $ref: MESSAGES + channel.message } },
    ...(names.length === 0
      ? {}
      : { parameters: Object.fromEntries(names.map((name) => [name, parameter(name)])) }),
    ...(channel.stream === undefined
      ? {}
      : { 'x-jetstream': { stream: streamCatalog[channel.stream].name } }),
    ...channel.extra,
  };
}

function parameter(name: string): Schema {
  const values: Record<string, string[]> = {
    kind: Object.keys(jobOwners),
    pool: [...workerPools],
    service: Object.values(jobOwners),
    lane: [...inferLanes],
  };
  const allowed = values[name];
  if (name === 'mailbox') return { description: 'Letters, digits, hyphens and underscores, at most 64.' };
  return allowed === undefined ? { description: 'A UUID.' } : { enum: allowed };
}

function operation(action: 'send' | 'receive', key: string): Schema {
  return { action, channel: { $ref: `#/channels/${key}` } };
}

function streams(): Json {
  return Object.values(streamCatalog).map(({ subjects, ...facts }) => ({
    ...facts,
    subjects: [...subjects],
  }));
}
