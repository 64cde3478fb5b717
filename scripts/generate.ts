import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCatalog, eventCatalog } from '@millrace/contracts';
import { asyncApi } from './generate/asyncapi.ts';
import { writeKustomize } from './generate/kustomize.ts';
import { writeObservability } from './generate/observability.ts';
import { DESCRIBED_SERVICES, openApiOf } from './generate/openapi.ts';
import { errorsPage } from './generate/pages.ts';
import { describeRecipes, pythonEnvironments, writePythonContracts } from './generate/python.ts';
import type { Json } from './generate/schemas.ts';
import { foldedSchemas, kebabCase, pascalCase, standalone } from './generate/schemas.ts';

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const proto = join(root, 'proto');

/** Writes everything that follows from the contracts; the same contracts give the same bytes. */
async function generate(): Promise<void> {
  writeSchemas();
  writeJson(join(proto, 'errors.json'), errorCatalog);
  writeJson(join(proto, 'asyncapi.json'), asyncApi());
  write(join(root, 'docs', 'errors.md'), errorsPage());
  for (const service of DESCRIBED_SERVICES) {
    writeJson(join(proto, 'openapi', `${service}.json`), await openApiOf(service));
  }

  const environments = pythonEnvironments(root);
  const contracts = join(root, 'libs', 'worker-py', 'src', 'millrace_worker', 'contracts');
  writePythonContracts(root, contracts, environments);

  const recipes = describeRecipes(root, environments);
  if (recipes === undefined)
    say('proto/recipes.json was left as it is: the environment "training" is not set up.');
  else writeJson(join(proto, 'recipes.json'), JSON.parse(recipes) as Json);

  await writeObservability(root);
  // `tests/deploy` makes the environment and compares
  if (existsSync(environments.kubernetes)) await writeKustomize(root);
  else
    say('k8s/ was left as it was: the environment "kubernetes" is not set up (npm run env -- kubernetes).');
}

/** One schema file for each event, and one for each other shape of jobs and telemetry. */
function writeSchemas(): void {
  const folded = foldedSchemas();
  const events = new Map(eventCatalog.map((event) => [pascalCase(event.name), event]));
  emptySchemaFolder(join(proto, 'events'));
  emptySchemaFolder(join(proto, 'jobs'));
  for (const name of folded.keys()) {
    const event = events.get(name);
    const [folder, id] =
      event === undefined ? ['jobs', kebabCase(name)] : ['events', `${event.name}.v${event.version}`];
    writeJson(join(proto, folder, `${id}.schema.json`), {
      $schema: DRAFT,
      $id: `urn:millrace:schema:${id}`,
      title: name,
      ...standalone(name, folded),
    });
  }
}

function emptySchemaFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(folder)) if (file.endsWith('.schema.json')) rmSync(join(folder, file));
}

function writeJson(file: string, value: unknown): void {
  write(file, `${JSON.stringify(value, null, 2)}\n`);
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await generate();
  process.exit(0);
} catch (error) {
  process.stderr.write(`generate: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
