import type { Dashboard, Query } from './grafana.ts';

const RATE = '$__rate_interval';

const rate = (metric: string, by: string, labels = ''): string =>
  `sum by (${by}) (rate(${metric}${labels === '' ? '' : `{${labels}}`}[${RATE}]))`;
const quantile = (share: number, metric: string, by: string, labels = ''): string =>
  `histogram_quantile(${share}, ${rate(`${metric}_bucket`, `${by}, le`, labels)})`;
const quantiles = (metric: string, by: string, legend: string, labels = ''): Query[] =>
  [0.5, 0.95, 0.99].map((share): Query => [quantile(share, metric, by, labels), `p${share * 100} ${legend}`]);

const EVERY_HTTP = '__name__=~"millrace_.+_http_request_seconds_count"';
const every = (by: string, labels = ''): string =>
  `sum by (${by}) (rate({${EVERY_HTTP}${labels === '' ? '' : `, ${labels}`}}[${RATE}]))`;

const OF_MODEL = 'model=~"$model"';
const MODEL = '{{model}} {{version}}';

/** The dashboards there are; every name in them is held against the metrics that services register. */
export const DASHBOARDS: readonly Dashboard[] = [
  {
    name: 'millrace-overview',
    title: 'Millrace: overview',
    variables: [],
    rows: [
      {
        title: 'The public door',
        panels: [
          {
            title: 'Requests by route',
            description: 'At the gateway.',
            unit: 'reqps',
            queries: [[rate('millrace_gateway_http_request_seconds_count', 'route'), '{{route}}']],
          },
          {
            title: 'Answers with an error',
            description: 'Share of 4xx and 5xx of all answers of the gateway.',
            unit: 'percentunit',
            queries: ['4..', '5..'].map(
              (status): Query => [
                `${rate('millrace_gateway_http_request_seconds_count', '', `status=~"${status}"`)} / ${rate('millrace_gateway_http_request_seconds_count', '')}`,
                status.replace('..', 'xx'),
              ],
            ),
          },
          {
            title: 'Time to answer',
            description: 'First byte of a request to the end of its answer, uploads among them.',
            unit: 's',
            queries: quantiles('millrace_gateway_http_request_seconds', 'service', ''),
          },
        ],
      },
      {
        title: 'Services',
        panels: [
          {
            title: 'Requests by service',
            description: 'Every service, the gateway among them.',
            unit: 'reqps',
            queries: [[every('service'), '{{service}}']],
          },
          {
            title: 'Errors by service',
            description: 'Share of answers with 5xx.',
            unit: 'percentunit',
            queries: [[`${every('service', 'status=~"5.."')} / ${every('service')}`, '{{service}}']],
          },
          {
            title: 'Targets that answer',
            description: 'Pods whose metrics were read.',
            unit: 'short',
            queries: [['sum by (job) (up{job=~"millrace-.+"})', '{{job}}']],
          },
          {
            title: 'Processor time',
            description: 'Cores in use.',
            unit: 'short',
            queries: [[rate('process_cpu_seconds_total', 'service', 'service=~".+"'), '{{service}}']],
          },
          {
            title: 'Memory',
            description: 'Resident, all pods and processes of a service.',
            unit: 'bytes',
            queries: [['sum by (service) (process_resident_memory_bytes{service=~".+"})', '{{service}}']],
          },
          {
            title: 'Event loop',
            description: 'How late the loop was, p99; inference adds up its processes.',
            unit: 's',
            queries: [['max by (service) (nodejs_eventloop_lag_p99_seconds{service=~".+"})', '{{service}}']],
          },
        ],
      },
      {
        title: 'What must not be lost or changed',
        panels: [
          {
            title: 'Predictions',
            description:
              'Answered by inference; stored by monitoring; dropped by the sender, which counts them.',
            unit: 'ops',
            queries: [
              ['sum(rate(millrace_inference_request_seconds_count[$__rate_interval]))', 'answered'],
              [rate('millrace_monitoring_predictions_total', 'state'), '{{state}}'],
            ],
          },
          {
            title: 'Refused versions and changed files',
            description: 'In the last hour; anything but zero wants a reason.',
            unit: 'short',
            queries: [
              [
                'sum by (code) (increase(millrace_inference_verification_failures_total[1h]))',
                'inference {{code}}',
              ],
              [
                'sum by (code) (increase(millrace_registry_verification_failures_total[1h]))',
                'registry {{code}}',
              ],
              [
                'sum by (outcome) (increase(millrace_inference_cache_rotten_files_total[1h]))',
                'cache {{outcome}}',
              ],
            ],
          },
          {
            title: 'Webhooks and audit',
            description: 'Attempts at webhooks by outcome; entries of the audit log that were not written.',
            unit: 'ops',
            queries: [
              [rate('millrace_gateway_webhook_attempt_seconds_count', 'outcome'), 'webhook {{outcome}}'],
              ['sum(rate(millrace_gateway_audit_dropped_total[$__rate_interval]))', 'audit dropped'],
            ],
          },
        ],
      },
    ],
  },
  {
    name: 'millrace-inference',
    title: 'Millrace: inference',
    variables: [
      { name: 'model', label: 'Model', of: 'label_values(millrace_inference_request_seconds_count, model)' },
    ],
    rows: [
      {
        title: 'Predictions',
        panels: [
          {
            title: 'Predictions by version',
            description: 'Answered requests.',
            unit: 'reqps',
            queries: [[rate('millrace_inference_request_seconds_count', 'model, version', OF_MODEL), MODEL]],
          },
          {
            title: 'Failures by code',
            description: 'docs/errors.md explains each code.',
            unit: 'reqps',
            queries: [
              [rate('millrace_inference_failures_total', 'model, code', OF_MODEL), '{{model}} {{code}}'],
            ],
          },
          {
            title: 'Time to answer',
            description: 'Body complete to answer.',
            unit: 's',
            queries: quantiles('millrace_inference_request_seconds', 'model, version', MODEL, OF_MODEL),
          },
          {
            title: 'Wait and run, p95',
            description: 'A long wait wants replicas or cores; a long run another model.',
            unit: 's',
            queries: [
              [
                quantile(0.95, 'millrace_inference_queue_seconds', 'model, version', OF_MODEL),
                `wait ${MODEL}`,
              ],
              [
                quantile(0.95, 'millrace_inference_compute_seconds', 'model, version', OF_MODEL),
                `run ${MODEL}`,
              ],
            ],
          },
          {
            title: 'Rows joined in a run',
            description: 'Mean; 1 where requests are not joined.',
            unit: 'short',
            queries: [
              [
                `${rate('millrace_inference_run_rows_sum', 'model, version', OF_MODEL)} / ${rate('millrace_inference_run_rows_count', 'model, version', OF_MODEL)}`,
                MODEL,
              ],
            ],
          },
          {
            title: 'Queue',
            description: 'Requests that wait now; 1,024 is full.',
            unit: 'short',
            queries: [[`sum by (model, version) (millrace_inference_queue_requests{${OF_MODEL}})`, MODEL]],
          },
        ],
      },
      {
        title: 'Doors and memory',
        panels: [
          {
            title: 'gRPC calls',
            description: 'By status.',
            unit: 'reqps',
            queries: [
              [
                rate('millrace_inference_grpc_request_seconds_count', 'method, status'),
                '{{method}} {{status}}',
              ],
            ],
          },
          {
            title: 'Asynchronous requests',
            description: 'Of the stream, by what became of them.',
            unit: 'ops',
            queries: [[rate('millrace_inference_jobs_total', 'lane, outcome'), '{{lane}} {{outcome}}']],
          },
          {
            title: 'Memory of models',
            description: 'Measured, not declared.',
            unit: 'bytes',
            queries: [
              [`sum by (model, version) (millrace_inference_model_resident_bytes{${OF_MODEL}})`, MODEL],
            ],
          },
          {
            title: 'Response cache',
            description: 'Share of requests that were answered from it.',
            unit: 'percentunit',
            queries: [
              [
                `${rate('millrace_inference_cache_requests_total', 'model', `${OF_MODEL}, outcome="hit"`)} / ${rate('millrace_inference_cache_requests_total', 'model', OF_MODEL)}`,
                '{{model}}',
              ],
            ],
          },
          {
            title: 'Predictions for monitoring',
            description: 'recorded = sent + waiting + dropped, since the start.',
            unit: 'short',
            queries: [['sum by (state) (millrace_inference_telemetry_predictions)', '{{state}}']],
          },
        ],
      },
      {
        title: 'Rollouts',
        panels: [
          {
            title: 'Requests by version',
            description: 'What a rollout decided, and by what.',
            unit: 'reqps',
            queries: [
              [
                rate('millrace_inference_rollout_requests_total', 'model, version, by', OF_MODEL),
                `${MODEL} {{by}}`,
              ],
            ],
          },
          {
            title: 'Shadow requests',
            description: 'Compared, failed, incomparable or dropped.',
            unit: 'reqps',
            queries: [
              [
                rate('millrace_inference_shadow_requests_total', 'model, version, outcome', OF_MODEL),
                `${MODEL} {{outcome}}`,
              ],
            ],
          },
          {
            title: 'Same label as the shadow',
            description: 'Share of answers.',
            unit: 'percentunit',
            queries: [
              [
                `${rate('millrace_inference_shadow_labels_total', 'model', `${OF_MODEL}, same="yes"`)} / ${rate('millrace_inference_shadow_labels_total', 'model', OF_MODEL)}`,
                '{{model}}',
              ],
            ],
          },
        ],
      },
    ],
  },
];
