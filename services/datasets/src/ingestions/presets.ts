import type { IngestOptions, IngestSource } from '@millrace/contracts';

/** A public source that is known well enough to say how it is read. */
export type Preset = { doc: string; source: IngestSource; options: IngestOptions };

/** Pages of Safecast's API that one ingestion reads. */
const SAFECAST_PAGES = 100;

/** The public sources with presets, by name; a request may replace any part of one. */
export const presets: Readonly<Record<string, Preset>> = {
  safecast: {
    doc: 'Measurements of the Safecast network (https://api.safecast.org), page by page.',
    source: {
      type: 'http',
      url: 'https://api.safecast.org/measurements.json',
      paging: { parameter: 'page', first: 1, pagesMax: SAFECAST_PAGES },
    },
    options: {
      format: { type: 'json' },
      columns: [
        { name: 'value', type: 'float64', isRequired: true, minimum: 0 },
        { name: 'unit', type: 'string', isRequired: true },
        { name: 'latitude', type: 'float64', minimum: -90, maximum: 90 },
        { name: 'longitude', type: 'float64', minimum: -180, maximum: 180 },
        { name: 'captured_at', type: 'timestamp' },
      ],
      quality: { type: 'drop', missing: 'drop', range: 'drop', duplicate: 'drop' },
    },
  },
  'iaea-spectra': {
    doc: 'Gamma spectra of 1,024 channels with their isotope, as a data set in the layout of Hugging Face.',
    source: { type: 'hugging_face', repository: 'iaea/radiation-spectra' },
    options: {
      target: 'isotope',
      columns: [
        { name: 'spectrum', type: 'vector', size: 1_024, isRequired: true, sumMinimum: 1 },
        { name: 'isotope', type: 'string', isRequired: true },
      ],
      quality: { dimension: 'drop', missing: 'drop', range: 'drop', duplicate: 'drop' },
    },
  },
};
