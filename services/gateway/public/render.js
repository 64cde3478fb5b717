/** Makes an element; text children are text, never HTML, so names cannot inject anything. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const SERVICE_TONES = { ready: 'is-good', 'not-ready': 'is-warn', down: 'is-bad' };
const STATE_TONES = {
  queued: '',
  running: 'is-live',
  cancelling: 'is-warn',
  cancelled: 'is-warn',
  succeeded: 'is-good',
  failed: 'is-bad',
};
const STAGES = ['dataset', 'train', 'convert', 'register', 'load'];

export function serviceCard({ name, state, version, latencyMs, failing }) {
  const more = failing.length > 0 ? `waits for ${failing.join(', ')}` : state;
  const figures = latencyMs === null ? '' : ` · ${latencyMs} ms`;
  return el(
    'li',
    { class: SERVICE_TONES[state] },
    el('strong', {}, name),
    el('span', {}, `${more}${figures}`),
    el('span', { hidden: version === null }, `v${version ?? ''}`),
  );
}

export function jobCard(job) {
  const { progress } = job;
  const metrics = Object.entries(progress?.metrics ?? {}).filter(([, value]) => typeof value === 'number');
  return el(
    'article',
    { class: 'card' },
    el('div', { class: 'title' }, el('strong', {}, jobName(job)), tag(job.state, STATE_TONES[job.state])),
    el('p', { class: 'quiet' }, `${job.status || ago(job.createdAt)} · ${job.id.slice(-8)}`),
    progress === null || progress.totalSteps === 0 || job.state !== 'running'
      ? null
      : el('progress', {
          max: progress.totalSteps,
          value: progress.step,
          'aria-label': `Progress of ${jobName(job)}`,
        }),
    progress === null || job.state !== 'running' ? null : el('p', { class: 'quiet' }, epochText(progress)),
    metrics.length === 0 ? null : figures(metrics.map(([name, value]) => [name, short(value)])),
    job.error === null ? null : el('p', { class: 'error' }, `${job.error.code}: ${job.error.message}`),
  );
}

export function pipelineCard(pipeline) {
  const now = STAGES.indexOf(pipeline.stage);
  const steps = STAGES.map((stage, index) => {
    const isPast = pipeline.stage === 'done' || index < now;
    const isNow = index === now;
    const tone = isPast ? 'done' : isNow && pipeline.state === 'failed' ? 'failed' : isNow ? 'now' : '';
    return el('li', { class: tone, 'aria-current': isNow ? 'step' : false }, `${isPast ? '✓ ' : ''}${stage}`);
  });
  const made = pipeline.modelVersion;
  const outcome = made === null ? '' : ` · version ${made.version}${made.isReused ? ' (reused)' : ''}`;
  return el(
    'article',
    { class: 'card' },
    el(
      'div',
      { class: 'title' },
      el('strong', {}, `${pipeline.model}`),
      tag(pipeline.state, STATE_TONES[pipeline.state]),
    ),
    el('p', { class: 'quiet' }, `${pipeline.recipe} · ${ago(pipeline.createdAt)}${outcome}`),
    el('ol', { class: 'steps' }, steps),
    pipeline.error === null
      ? null
      : el('p', { class: 'error' }, `${pipeline.error.code}: ${pipeline.error.message}`),
  );
}

export function modelCard({ name, versions, served, metrics }) {
  return el(
    'article',
    { class: 'card' },
    el(
      'div',
      { class: 'title' },
      el('strong', {}, name),
      tag(served ? 'loaded' : 'not loaded', served ? 'is-good' : ''),
    ),
    el(
      'ul',
      { class: 'steps' },
      versions.map(({ version, stage }) =>
        el('li', { class: stage === 'production' ? 'done' : '' }, `${version} · ${stage}`),
      ),
    ),
    metrics === null || metrics.count === 0
      ? null
      : figures([
          ['predictions', String(metrics.count)],
          ['latency', metrics.avgLatency === null ? '–' : `${short(metrics.avgLatency)} ms`],
          ['confidence', metrics.avgConfidence === null ? '–' : short(metrics.avgConfidence)],
          ['accuracy', metrics.accuracy === null ? 'no feedback' : `${short(metrics.accuracy * 100)} %`],
        ]),
  );
}

export function predictionTable(events) {
  const head = ['Time', 'Model', 'Version', 'Prediction', 'Confidence', 'Latency', 'Correct'];
  return el(
    'table',
    {},
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        head.map((name) => el('th', { scope: 'col', class: isNumber(name) ? 'number' : false }, name)),
      ),
    ),
    el(
      'tbody',
      {},
      events.map((event) =>
        el(
          'tr',
          {},
          el('td', {}, new Date(event.timestamp).toLocaleTimeString()),
          el('td', {}, event.modelId),
          el('td', {}, event.modelVersion),
          el('td', { class: 'long' }, el('code', {}, String(event.prediction))),
          el('td', { class: 'number' }, event.confidence === null ? '–' : short(event.confidence)),
          el('td', { class: 'number' }, `${short(event.latencyMs)} ms`),
          el('td', {}, event.correct === null ? '–' : event.correct ? 'yes' : 'no'),
        ),
      ),
    ),
  );
}

export function empty(text) {
  return el('p', { class: 'card empty' }, text);
}

function tag(text, tone) {
  return el('span', { class: `tag ${tone ?? ''}` }, text);
}

function figures(pairs) {
  return el(
    'dl',
    {},
    pairs.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
  );
}

function jobName({ kind, spec }) {
  const what = { train: 'Training', convert: 'Conversion', ingest: 'Data' }[kind] ?? kind;
  return spec.recipe === undefined ? what : `${what} · ${spec.recipe}`;
}

function epochText({ stage, epoch, epochs, step, totalSteps }) {
  // Work without epochs says 0 of 0.
  return epoch === undefined || epochs === 0
    ? `${stage} · step ${step} of ${totalSteps}`
    : `${stage} · epoch ${epoch} of ${epochs}`;
}

function short(value) {
  return Number(value.toPrecision(4)).toString();
}

function isNumber(name) {
  return name === 'Confidence' || name === 'Latency';
}

function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  return new Date(time).toLocaleString();
}
