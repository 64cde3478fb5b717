// jest reads and links every module anew for each test file, and our packages have 1,400. Tests load them from the
// bundle that services load them from (docs/adr/0021).
const { existsSync, readFileSync } = require('node:fs');
const { join } = require('node:path');

let files;

/** Files of the bundle by what is imported; none where there is no bundle, or before the run has made it. */
function bundledFiles() {
  if (files !== undefined) return files;
  const infra = process.env.MILLRACE_TEST_INFRA;
  if (infra === undefined) return new Map();
  const folder = JSON.parse(infra).packages?.MILLRACE_MODULE_BUNDLE;
  const isThere = folder !== undefined && existsSync(folder);
  const index = isThere ? JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) : {};
  files = new Map(Object.entries(index).map(([specifier, file]) => [specifier, join(folder, file)]));
  return files;
}

module.exports = (specifier, options) => {
  // a package in CommonJS that requires another wants its `module.exports`
  const file = options.conditions?.includes('import') ? bundledFiles().get(specifier) : undefined;
  return file ?? options.defaultResolver(specifier, options);
};
