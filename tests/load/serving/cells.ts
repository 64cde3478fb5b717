/** How a request carries its numbers. */
export type Encoding = 'json' | 'binary';

/** One thing that is measured: closed loop, so many connections, so many rows a request. */
export type Cell = {
  name: string;
  model: string;
  encoding: Encoding;
  rows: number;
  connections: number;
};

const PATTERN =
  /^(?<model>mlp|cnn|tiny|tree)-(?<encoding>json|binary)(-b(?<rows>\d+))?-c(?<connections>\d+)$/;
const CONNECTIONS_MAX = 1024;
const ROWS_MAX = 256;

/** What is measured unless `--cells` says otherwise. */
export const DEFAULT_CELLS = [
  'mlp-json-c1',
  'mlp-json-c16',
  'mlp-json-c64',
  'mlp-binary-c1',
  'mlp-binary-c16',
  'mlp-binary-c64',
  'cnn-json-c16',
  'cnn-binary-c1',
  'cnn-binary-c16',
  'tiny-json-c64',
  'mlp-binary-b32-c8',
];

/** Reads `model-encoding[-bROWS]-cCONNECTIONS`; throws an Error that says how a cell is written. */
export function parseCell(name: string): Cell {
  const found = PATTERN.exec(name)?.groups;
  const rows = Number(found?.rows ?? 1);
  const connections = Number(found?.connections);
  if (!found || rows < 1 || rows > ROWS_MAX || connections < 1 || connections > CONNECTIONS_MAX) {
    throw new Error(
      `'${name}' is no cell; write model-encoding-cN such as mlp-json-c64 or mlp-binary-b32-c8: ` +
        `mlp, cnn, tiny or tree; json or binary; at most ${ROWS_MAX} rows and ${CONNECTIONS_MAX} connections`,
    );
  }
  const { model = '', encoding = '' } = found;
  return { name, model, encoding: encoding as Encoding, rows, connections };
}
