import { apiKey, follow, get } from './api.js';
import { el, empty, jobCard, modelCard, pipelineCard, predictionTable, serviceCard } from './render.js';

const POLL_MS = 3_000;
const JOB_PATHS = {
  train: '/v1/training/jobs',
  convert: '/v1/conversions',
  ingest: '/v1/datasets/ingest-jobs',
};
const SHOWN = 6;
const byId = (id) => document.getElementById(id);

/** Jobs that run, by id, with the function that ends their event stream. */
const followed = new Map();
/** The newest view of each job, from the list or from its stream. */
const jobs = new Map();
let pipelines = [];

async function showServices() {
  const status = await get('/v1/status');
  byId('services').replaceChildren(...status.services.map(serviceCard));
  const ready = status.services.filter(({ state }) => state === 'ready').length;
  setState(
    status.state === 'ready' ? 'is-good' : 'is-warn',
    `${ready} of ${status.services.length} services ready`,
  );
}

function setState(tone, text) {
  const state = byId('state');
  state.className = `pill ${tone}`;
  if (state.textContent !== text) state.textContent = text;
}

async function readJobs() {
  const lists = await Promise.all([
    get(`/v1/pipelines?limit=${SHOWN}`).catch(nothing),
    ...Object.values(JOB_PATHS).map((path) => get(`${path}?limit=${SHOWN}`).catch(nothing)),
  ]);
  pipelines = lists[0].items;
  jobs.clear();
  for (const job of lists.slice(1).flatMap(({ items }) => items)) {
    jobs.set(job.id, job);
    if (job.state === 'running') followJob(job);
  }
  showJobs();
}

function followJob(job) {
  if (followed.has(job.id)) return;
  const controller = new AbortController();
  followed.set(job.id, controller);
  follow(
    `${JOB_PATHS[job.kind]}/${job.id}/events`,
    (name, data) => {
      const known = jobs.get(job.id);
      if (known === undefined) return;
      if (name === 'state') jobs.set(job.id, data);
      else if (name === 'progress') jobs.set(job.id, { ...known, progress: data.progress ?? data });
      showJobs();
    },
    controller.signal,
  )
    .catch(() => undefined)
    .finally(() => followed.delete(job.id));
}

let isDrawing = false;
function showJobs() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    const newest = [...jobs.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
    const shown = [
      ...newest.filter(({ state }) => state === 'running').map(jobCard),
      ...pipelines.map(pipelineCard),
      ...newest
        .filter(({ state }) => state !== 'running')
        .slice(0, SHOWN)
        .map(jobCard),
    ].slice(0, 2 * SHOWN);
    byId('jobs').replaceChildren(
      ...(shown.length > 0 ? shown : [empty('No job yet. Start one: npm run millrace -- train')]),
    );
  });
}

async function showModels() {
  const [{ items }, serving] = await Promise.all([
    get(`/v1/models?limit=${SHOWN}`).catch(nothing),
    get('/v1/inference/models').catch(() => ({ models: [] })),
  ]);
  const cards = await Promise.all(
    items.map(async ({ name }) => {
      const id = encodeURIComponent(name);
      const [{ versions }, metrics] = await Promise.all([
        get(`/model/versions?modelId=${id}`).catch(() => ({ versions: [] })),
        get(`/monitoring/metrics?modelId=${id}`).catch(() => null),
      ]);
      const served = serving.models.some(({ model }) => model === name);
      return modelCard({ name, versions: versions.slice(-SHOWN).reverse(), served, metrics });
    }),
  );
  byId('models').replaceChildren(...(cards.length > 0 ? cards : [empty('No model yet.')]));
}

async function showPredictions() {
  const { events } = await get('/monitoring/events?limit=10').catch(() => ({ events: [] }));
  const shown =
    events.length > 0 ? predictionTable(events) : el('p', { class: 'empty' }, 'No prediction yet.');
  byId('predictions').replaceChildren(shown);
}

function nothing() {
  return { items: [] };
}

function showCommands() {
  const commands = [
    'npm run millrace -- status',
    'npm run millrace -- train --quick',
    'npm run millrace -- jobs',
    'npm run millrace -- verify verichain',
    'npm run millrace -- doctor',
    `curl ${location.origin}/monitoring/metrics?modelId=verichain`,
  ];
  byId('commands').replaceChildren(
    ...commands.map((command) => {
      const button = el('button', { type: 'button', 'aria-label': `Copy: ${command}` }, 'Copy');
      button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(command);
        button.textContent = 'Copied';
        setTimeout(() => {
          button.textContent = 'Copy';
        }, 1_500);
      });
      return el('li', {}, el('code', {}, command), button);
    }),
  );
}

async function refresh() {
  try {
    await showServices();
    byId('key-form').hidden = true;
    await Promise.all([readJobs(), showModels(), showPredictions()]);
  } catch (error) {
    const needsKey = error.status === 401 || error.status === 403;
    byId('key-form').hidden = !needsKey;
    setState('is-bad', needsKey ? 'An API key is needed' : error.message);
  }
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, POLL_MS);
}

byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  apiKey.set(byId('key').value.trim());
  void refresh();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void refresh();
});
showCommands();
void loop();
