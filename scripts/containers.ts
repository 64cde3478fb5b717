import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LaunchError, REPOSITORY_ROOT } from '@millrace/embedded';
import { ensureBases } from './containers/base-image.ts';
import { buildImages, imagesOf } from './containers/build.ts';
import { IMAGES, type Image } from './containers/catalog.ts';
import { createDeployment } from './containers/deployment.ts';
import { runEndToEnd } from './containers/e2e.ts';
import { type Engine, openEngine } from './containers/engine.ts';
import { writeMaterials } from './containers/materials.ts';
import { readOptions, runScript } from './lib/command-line.ts';
import { duration } from './lib/format.ts';
import { createReporter } from './lib/reporter.ts';

const USAGE = `node scripts/containers.ts COMMAND [OPTIONS]

  build   builds the images of services, workers and servers (npm run containers:build)
  e2e     builds them, starts infra/compose.yaml on free ports, trains, converts and serves a model through it, checks
          that containers are confined and end cleanly, and removes what it started (npm run containers:e2e)
  up      starts infra/compose.yaml on its usual ports, from images that were built
  down    stops and removes its containers; --volumes removes all data and keys too
  token   prints its first admin key
  sbom    writes a CycloneDX bill of materials for each image to .millrace/containers/sbom

Docker is used where its daemon answers, else Podman, whose images are then made from Debian's packages by debootstrap.
  --setup              install what Podman needs, as root
  --base-image IMAGE   stand on this image (Debian 12); without it Podman makes one, Docker takes debian:bookworm-slim
  --build-image IMAGE  build with this image, which has Node 24 and npm
  --only NAME,NAME     only these images
  --all                also those that compose starts by profile, and the GPU's
  --no-cache           build every layer anew
  --keep               e2e: leave it running
  --no-build           e2e: from the images that are there
  --volumes            down: remove data and keys
  --help               this text`;

const EXIT_USAGE = 64;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const DEFAULT_PREFIX = 'millrace';
const PROJECT = 'millrace';

const [command = '--help'] = process.argv.splice(2, process.argv[2]?.startsWith('-') === true ? 0 : 1);
const options = readOptions({
  usage: USAGE,
  options: {
    setup: { type: 'boolean' },
    'base-image': { type: 'string' },
    'build-image': { type: 'string' },
    only: { type: 'string' },
    all: { type: 'boolean' },
    'no-cache': { type: 'boolean' },
    keep: { type: 'boolean' },
    'no-build': { type: 'boolean' },
    volumes: { type: 'boolean' },
  },
});
const reporter = createReporter();
const abort = new AbortController();
for (const signal of SIGNALS) process.on(signal, () => abort.abort());

const prefix = process.env.MILLRACE_IMAGE_PREFIX || DEFAULT_PREFIX;
const tag = process.env.MILLRACE_IMAGE_TAG || versionOf('package.json');

function versionOf(file: string): string {
  return (JSON.parse(readFileSync(join(REPOSITORY_ROOT, file), 'utf8')) as { version: string }).version;
}

function wantedImages(): Image[] {
  if (options.only !== undefined) return imagesOf(options.only.split(',').map((name) => name.trim()));
  return IMAGES.filter(({ isStandard }) => isStandard || options.all === true);
}

async function build(engine: Engine): Promise<void> {
  const start = performance.now();
  const named = { base: options['base-image'], build: options['build-image'] };
  reporter.progress('base images', 'base');
  const bases = await ensureBases(engine, named);
  const given = {
    bases,
    prefix,
    tag,
    certificates: process.env.NODE_EXTRA_CA_CERTS ?? process.env.SSL_CERT_FILE,
    isCacheUsed: options['no-cache'] !== true,
    env: process.env,
    signal: abort.signal,
  };
  const built = await buildImages(engine, wantedImages(), given, reporter);
  reporter.line(
    `Built ${built.length} images with ${engine.kind} in ${duration(performance.now() - start)}.`,
  );
}

const commands: Record<string, (engine: Engine) => Promise<void>> = {
  build,
  async e2e(engine) {
    if (options['no-build'] !== true) await build(engine);
    const isKept = options.keep === true;
    await runEndToEnd({ engine, reporter, prefix, tag, isKept, signal: abort.signal });
  },
  async up(engine) {
    const deployment = createDeployment(engine, PROJECT, {});
    await deployment.up(abort.signal);
    reporter.line(
      `Up: ${deployment.gateway}; \`node scripts/containers.ts token\` prints the first admin key.`,
    );
  },
  async down(engine) {
    await createDeployment(engine, PROJECT, {}).down(options.volumes === true);
  },
  async token(engine) {
    process.stdout.write(`${await createDeployment(engine, PROJECT, {}).token()}\n`);
  },
  async sbom(engine) {
    for (const image of wantedImages()) {
      const reference = `${prefix}/${image.name}:${tag}`;
      reporter.line(`  ${await writeMaterials(engine, image, reference)}`);
    }
  },
};

await runScript(async () => {
  const work = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (work === undefined) {
    process.stderr.write(`${command} is no command.\n\n${USAGE}\n`);
    return EXIT_USAGE;
  }
  if (options.keep === true && command !== 'e2e') throw new LaunchError('containers', '--keep goes with e2e');
  await work(await openEngine(process.env, options.setup === true));
  return 0;
});
