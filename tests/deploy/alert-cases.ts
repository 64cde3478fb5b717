/** Series that make an alert fire, and the labels that it then has beside its severity. */
export type AlertCase = {
  alert: string;
  series: Readonly<Record<string, string>>;
  /** When it fires, in minutes; series have a value a minute. */
  atMinutes: number;
  labels: Readonly<Record<string, string>>;
};

const VERSION = 'model="m",version="1"';
const version = { model: 'm', version: '1' };

/** One case for each alert; in all of them the platform is otherwise quiet. */
export const ALERT_CASES: readonly AlertCase[] = [
  {
    alert: 'MillraceTargetDown',
    series: { 'up{job="millrace-registry",instance="a"}': '0+0x10' },
    atMinutes: 5,
    labels: { job: 'millrace-registry', instance: 'a' },
  },
  {
    alert: 'MillraceGatewayErrors',
    series: {
      'millrace_gateway_http_request_seconds_count{route="/predict",status="200"}': '0+60x20',
      'millrace_gateway_http_request_seconds_count{route="/predict",status="503"}': '0+10x20',
    },
    atMinutes: 15,
    labels: { route: '/predict' },
  },
  {
    alert: 'MillraceServiceErrors',
    series: {
      'millrace_registry_http_request_seconds_count{service="registry",status="200"}': '0+60x30',
      'millrace_registry_http_request_seconds_count{service="registry",status="500"}': '0+20x30',
    },
    atMinutes: 25,
    labels: { service: 'registry' },
  },
  {
    alert: 'MillraceEventLoopLate',
    series: { 'nodejs_eventloop_lag_p99_seconds{service="registry",instance="a"}': '0.9+0x30' },
    atMinutes: 15,
    labels: { service: 'registry', instance: 'a' },
  },
  {
    alert: 'MillracePredictionErrors',
    series: {
      [`millrace_inference_request_seconds_count{${VERSION}}`]: '0+60x20',
      [`millrace_inference_failures_total{${VERSION},code="model_crashed"}`]: '0+10x20',
      'millrace_monitoring_predictions_total{state="stored"}': '0+60x20',
    },
    atMinutes: 15,
    labels: version,
  },
  {
    alert: 'MillracePredictionsSlow',
    series: {
      [`millrace_inference_request_seconds_bucket{${VERSION},le="1"}`]: '0+50x30',
      [`millrace_inference_request_seconds_bucket{${VERSION},le="2"}`]: '0+60x30',
      [`millrace_inference_request_seconds_bucket{${VERSION},le="+Inf"}`]: '0+60x30',
    },
    atMinutes: 20,
    labels: version,
  },
  {
    alert: 'MillraceQueueFilling',
    series: { [`millrace_inference_queue_requests{${VERSION},instance="a"}`]: '600+0x10' },
    atMinutes: 5,
    labels: { ...version, instance: 'a' },
  },
  {
    alert: 'MillraceVersionRefused',
    series: { 'millrace_inference_verification_failures_total{code="signature_invalid"}': '0 0 1 1 1 1' },
    atMinutes: 4,
    labels: { code: 'signature_invalid' },
  },
  {
    alert: 'MillraceCacheRotten',
    series: { 'millrace_inference_cache_rotten_files_total{instance="a",outcome="healed"}': '0 0 1 1 1 1' },
    atMinutes: 4,
    labels: { instance: 'a', outcome: 'healed' },
  },
  {
    alert: 'MillraceAsyncRequestsGivenUp',
    series: { 'millrace_inference_jobs_total{lane="normal",outcome="dead"}': '0 0 1 1 1 1' },
    atMinutes: 4,
    labels: { lane: 'normal' },
  },
  {
    alert: 'MillraceRolledBack',
    series: { 'millrace_registry_rollbacks_total{model="m"}': '0 0 1 1 1 1' },
    atMinutes: 4,
    labels: { model: 'm' },
  },
  {
    alert: 'MillracePredictionsDropped',
    series: { 'millrace_inference_telemetry_predictions{state="dropped",instance="a"}': '0 0 7 7 7 7' },
    atMinutes: 4,
    labels: { instance: 'a' },
  },
  {
    alert: 'MillracePredictionsWaiting',
    series: { 'millrace_inference_telemetry_predictions{state="waiting",instance="a"}': '40000+0x10' },
    atMinutes: 5,
    labels: { instance: 'a' },
  },
  {
    alert: 'MillracePredictionsNotStored',
    series: {
      [`millrace_inference_request_seconds_count{${VERSION}}`]: '0+60x40',
      'millrace_monitoring_predictions_total{state="stored"}': '5+0x40',
    },
    atMinutes: 30,
    labels: {},
  },
  {
    alert: 'MillraceAuditDropped',
    series: { millrace_gateway_audit_dropped_total: '0 0 3 3 3 3' },
    atMinutes: 4,
    labels: {},
  },
  {
    alert: 'MillraceWebhooksLate',
    series: {
      'millrace_gateway_webhook_attempt_seconds_count{outcome="hold"}': '0+10x40',
      'millrace_gateway_webhook_attempt_seconds_count{outcome="delivered"}': '0+1x40',
    },
    atMinutes: 35,
    labels: { outcome: 'hold' },
  },
];

/** What a platform that is well shows for an hour: no alert may fire. */
export const QUIET: Readonly<Record<string, string>> = {
  'up{job="millrace-gateway",instance="a"}': '1+0x60',
  'millrace_gateway_http_request_seconds_count{route="/predict",status="200",service="gateway"}': '0+600x60',
  'millrace_gateway_http_request_seconds_count{route="/predict",status="503",service="gateway"}': '0+1x60',
  'nodejs_eventloop_lag_p99_seconds{service="inference",instance="a"}': '0.02+0x60',
  [`millrace_inference_request_seconds_count{${VERSION}}`]: '0+600x60',
  [`millrace_inference_request_seconds_bucket{${VERSION},le="0.01"}`]: '0+600x60',
  [`millrace_inference_request_seconds_bucket{${VERSION},le="+Inf"}`]: '0+600x60',
  [`millrace_inference_failures_total{${VERSION},code="invalid_input"}`]: '0+6x60',
  [`millrace_inference_queue_requests{${VERSION},instance="a"}`]: '12+0x60',
  'millrace_inference_telemetry_predictions{state="dropped",instance="a"}': '40+0x60',
  'millrace_inference_telemetry_predictions{state="waiting",instance="a"}': '200+0x60',
  'millrace_monitoring_predictions_total{state="stored"}': '0+600x60',
  'millrace_inference_verification_failures_total{code="signature_invalid"}': '2+0x60',
  'millrace_gateway_webhook_attempt_seconds_count{outcome="delivered"}': '0+10x60',
  'millrace_gateway_webhook_attempt_seconds_count{outcome="hold"}': '0+1x60',
  millrace_gateway_audit_dropped_total: '9+0x60',
};
