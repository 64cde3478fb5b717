export { createTestBucket, type TestBucket } from './bucket.ts';
export {
  AUTHORITY,
  type CertificateRequest,
  type IssuedCertificate,
  issueCertificate,
  SIGNING,
} from './certificate-authority.ts';
export { runClient } from './client-environment.ts';
export { createTestDatabase, type TestDatabase } from './database.ts';
export { eventually } from './eventually.ts';
export { createFaultProxy, type FaultProxy } from './fault-proxy.ts';
export { isLongRun } from './long-run.ts';
export { type MlflowServerProcess, startMlflowServer } from './mlflow-server.ts';
export { type PlainRequest, sendThenRead } from './plain-client.ts';
export {
  type PrivateNats,
  type PrivatePostgres,
  type PrivateS3,
  type ServerControl,
  startNats,
  startPostgres,
  startS3,
} from './private-server.ts';
export { prometheusPrograms, type Sample, startPrometheus, type TestPrometheus } from './prometheus.ts';
export { promisedTime } from './promised-time.ts';
export { settledMemory } from './settled-memory.ts';
export type { TamperCase, TamperSetting } from './tamper/bundle-edits.ts';
export {
  type BundleEntry,
  bundleTar,
  makeBundle,
  writeBundleFolder,
} from './tamper/bundle-fixture.ts';
export { tamperCases } from './tamper/tamper-cases.ts';
export {
  startTestInfra,
  TEST_INFRA_VARIABLE,
  type TestInfra,
  type TestInfraRun,
  testInfra,
} from './test-infra.ts';
export {
  listeningPort,
  type ServiceProcess,
  startServiceProcess,
  startTestProcess,
  type TestProcess,
  type TestProcessSpec,
} from './test-process.ts';
