import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** One file of the pages, ready to be sent. */
export type Asset = {
  readonly path: string;
  readonly contentType: string;
  readonly etag: string;
  readonly bytes: Buffer;
  readonly gzip: Buffer;
};

/** Reads every file the pages need: our own from `public/`, and those of Swagger UI. None comes from elsewhere. */
export function loadAssets(): Asset[] {
  const own = fileURLToPath(new URL('../../public/', import.meta.url));
  const swaggerUi = join(
    dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui/package.json')),
    'static',
  );
  return [
    asset('/', join(own, 'index.html')),
    asset('/assets/app.css', join(own, 'app.css')),
    asset('/assets/app.js', join(own, 'app.js')),
    asset('/assets/api.js', join(own, 'api.js')),
    asset('/assets/render.js', join(own, 'render.js')),
    asset('/assets/icon.svg', join(own, 'icon.svg')),
    asset('/docs', join(own, 'docs.html')),
    asset('/assets/docs.js', join(own, 'docs.js')),
    asset('/assets/docs.css', join(own, 'docs.css')),
    asset('/assets/swagger-ui.css', join(swaggerUi, 'swagger-ui.css')),
    asset('/assets/swagger-ui-bundle.js', join(swaggerUi, 'swagger-ui-bundle.js')),
  ];
}

function asset(path: string, file: string): Asset {
  const bytes = readFileSync(file);
  const contentType = CONTENT_TYPES[extname(file)];
  if (contentType === undefined) throw new TypeError(`No content type is known for ${file}.`);
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  return { path, contentType, etag, bytes, gzip: gzipSync(bytes) };
}
