// Node runs the sources by stripping types; jest needs a transform, and swc is the one that needs no TypeScript API.
const swc = (type) => [
  '@swc/jest',
  {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type },
    sourceMaps: 'inline',
    swcrc: false,
  },
];

export default {
  rootDir: '.',
  testEnvironment: '<rootDir>/libs/testing/jest-native-environment.cjs',
  resolver: '<rootDir>/libs/testing/jest-bundle-resolver.cjs',
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/{libs,services,infra}/**/test/**/*.test.ts', '<rootDir>/tests/**/*.test.ts'],
  transform: { '^.+\\.ts$': swc('es6'), '/node_modules/cookie/.+\\.js$': swc('commonjs') },
  transformIgnorePatterns: ['/node_modules/(?!(cookie)/)'],
  modulePathIgnorePatterns: ['/.millrace/', '/coverage/', '<rootDir>/libs/[^/]+/dist/'],
  globalSetup: '<rootDir>/libs/testing/src/global-setup.ts',
  globalTeardown: '<rootDir>/libs/testing/src/global-teardown.ts',
  testTimeout: 60_000,
  maxWorkers: 2,
  // modules of a test file stay in memory after it: at 2.6 GB a test of a second took thirteen
  workerIdleMemoryLimit: '512MB',
  coverageProvider: 'v8',
  collectCoverageFrom: ['services/inference/src/**/*.ts', '!services/inference/src/main.ts'],
};
