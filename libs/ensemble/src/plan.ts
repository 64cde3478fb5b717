import type { Static } from 'typebox';
import Value from 'typebox/value';
import { AXES_MAX, DEPTH_MAX, ROW_ELEMENTS_MAX } from './bounds.ts';
import { atStep, invalid } from './fault.ts';
import type { Operation, Prepared } from './operation.ts';
import { operations } from './operations.ts';
import type { PinnedEnsemble } from './spec.ts';
import { MODEL_KIND } from './spec.ts';
import type { NamedSpec, Signature, ValueSpec } from './value.ts';
import { showShape } from './value.ts';

/** What the order and the fit of steps is decided by; both the asked and the signed form have it. */
type Description = {
  readonly inputs: PinnedEnsemble['inputs'];
  readonly outputs: PinnedEnsemble['outputs'];
  readonly steps: readonly Step[];
};
type Step = Omit<PinnedEnsemble['steps'][number], 'member'>;

/** One end of an edge: the step's own name of a tensor and the ensemble's. */
export type Port = { readonly own: string; readonly tensor: string };

/** A step in its place; `run` is there for a built-in one. */
export type PlannedStep = {
  readonly id: string;
  readonly kind: string;
  /** Place of the step in the description. */
  readonly index: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Whether these are all outputs that a model has, in its order. */
  readonly isWhole: boolean;
  /** Places in the plan of the steps whose outputs it reads. */
  readonly after: readonly number[];
  readonly run?: Prepared['run'];
  /** Whether each row of its inputs can be computed by itself; of a built-in step. */
  readonly isByRow: boolean;
};

/** An ensemble that was checked: what it takes and gives, and its steps, each behind those that it reads from. */
export type EnsemblePlan = Signature & { readonly steps: readonly PlannedStep[] };

/**
 * Puts the steps in order and checks that every tensor is given once, every input is fed, types and shapes fit, and the
 * bounds hold. `signatureOf` tells what the model of a step takes and gives. Throws `invalid_ensemble` with the step.
 */
export function planEnsemble(
  description: Description,
  signatureOf: (step: Step, index: number) => Signature,
): EnsemblePlan {
  const givers = giversOf(description);
  const order = orderOf(description, givers);
  const specs = new Map<string, ValueSpec>(
    description.inputs.map(({ name, dtype, shape }) => [name, { dtype, shape }]),
  );
  for (const input of description.inputs) assertSize(`The input "${input.name}"`, input);
  const places = new Map(order.map((index, place) => [index, place]));
  const steps = order.map((index): PlannedStep => {
    const step = description.steps[index] as Step;
    const after = new Set<number>();
    for (const tensor of Object.values(step.inputs)) {
      const giver = givers.get(tensor);
      if (giver !== undefined) after.add(places.get(giver) as number);
    }
    const head = { id: step.id, kind: step.kind, index, after: [...after] };
    try {
      const fitted =
        step.kind === MODEL_KIND
          ? fitModel(step, signatureOf(step, index), specs)
          : fitBuiltIn(step, operationOf(step.kind), specs);
      return { ...head, ...fitted };
    } catch (error) {
      throw atStep(step.id, error);
    }
  });
  const outputs = description.outputs.map((name) => ({ name, ...(specs.get(name) as ValueSpec) }));
  assertUsed(description, givers);
  const inputs = description.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  return { inputs, outputs: outputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })), steps };
}

/** The step that gives each tensor; undefined for the inputs. */
function giversOf({ inputs, steps, outputs }: Description): Map<string, number | undefined> {
  const givers = new Map<string, number | undefined>();
  for (const { name } of inputs) {
    if (givers.has(name)) throw invalid(`The ensemble has the input "${name}" twice.`);
    givers.set(name, undefined);
  }
  const ids = new Set<string>();
  for (const [index, step] of steps.entries()) {
    if (ids.has(step.id)) throw invalid(`Two steps have the id "${step.id}".`);
    ids.add(step.id);
    for (const tensor of Object.values(step.outputs)) {
      if (givers.has(tensor)) {
        const other = givers.get(tensor);
        const who = other === undefined ? 'is an input' : `comes from step "${steps[other]?.id}"`;
        throw atStep(step.id, invalid(`it gives the tensor "${tensor}", which ${who} already.`));
      }
      givers.set(tensor, index);
    }
  }
  const asked = new Set<string>();
  for (const name of outputs) {
    if (givers.get(name) === undefined)
      throw invalid(
        `The output "${name}" is ${givers.has(name) ? 'an input' : 'a tensor that no step gives'}.`,
      );
    if (asked.has(name)) throw invalid(`The ensemble has the output "${name}" twice.`);
    asked.add(name);
  }
  return givers;
}

/** Places of the steps, each behind those that it reads from; of those that could be next the first described. */
function orderOf({ steps }: Description, givers: ReadonlyMap<string, number | undefined>): number[] {
  const depths = new Map<number, number>();
  const order: number[] = [];
  for (const step of steps) {
    const unknown = Object.values(step.inputs).find((tensor) => !givers.has(tensor));
    if (unknown !== undefined)
      throw atStep(
        step.id,
        invalid(`it reads the tensor "${unknown}", which is no input and no step gives.`),
      );
  }
  while (order.length < steps.length) {
    const next = steps.findIndex((step, index) => {
      if (depths.has(index)) return false;
      const before = Object.values(step.inputs).map((tensor) => givers.get(tensor));
      return before.every((giver) => giver === undefined || depths.has(giver));
    });
    if (next === -1) throw cycleError(steps, givers, depths);
    const step = steps[next] as Step;
    const before = Object.values(step.inputs).map((tensor) => depths.get(givers.get(tensor) ?? -1) ?? 0);
    const depth = Math.max(...before) + 1;
    if (depth > DEPTH_MAX)
      throw atStep(
        step.id,
        invalid(`it is step ${depth} in a row; at most ${DEPTH_MAX} may wait for each other.`),
      );
    depths.set(next, depth);
    order.push(next);
  }
  return order;
}

function cycleError(
  steps: readonly Step[],
  givers: ReadonlyMap<string, number | undefined>,
  done: ReadonlyMap<number, number>,
): unknown {
  const path: number[] = [];
  let at = steps.findIndex((_, index) => !done.has(index));
  // each step that is left waits for another one that is left, so this comes round
  while (!path.includes(at)) {
    path.push(at);
    const waitsFor = Object.values((steps[at] as Step).inputs).map((tensor) => givers.get(tensor));
    at = waitsFor.find((giver) => giver !== undefined && !done.has(giver)) as number;
  }
  const round = path.slice(path.indexOf(at)).map((index) => (steps[index] as Step).id);
  const [first = ''] = round;
  const names = round.map((id) => `"${id}"`).join(', ');
  return atStep(first, invalid(`the steps ${names} wait for each other in a circle.`));
}

function operationOf(kind: string): Operation {
  if (Object.hasOwn(operations, kind)) return operations[kind as keyof typeof operations];
  const known = [MODEL_KIND, ...Object.keys(operations)].join(', ');
  throw invalid(`there is no kind "${kind}"; known are ${known}.`);
}

/** Names of the inputs of an operation that takes as many as it is given. */
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `x${i}`);

function fitBuiltIn(step: Step, operation: Operation, specs: Map<string, ValueSpec>) {
  const given = Object.keys(step.inputs);
  const names = operation.inputs === 'many' ? numbered(given.length) : operation.inputs;
  const inputs = portsOf(step.inputs, names, 'input', true);
  const parameters = checkedParameters(operation, step.parameters ?? {});
  const prepared = operation.prepare(
    parameters,
    inputs.map(({ tensor }) => specs.get(tensor) as ValueSpec),
  );
  const outputs = portsOf(step.outputs, operation.outputs, 'output', false);
  for (const { own, tensor } of outputs) {
    const spec = prepared.outputs[operation.outputs.indexOf(own)] as ValueSpec;
    assertSize(`its output "${own}"`, spec);
    specs.set(tensor, spec);
  }
  // a run gives all outputs of the operation; those that nobody named are dropped by their place
  const places = outputs.map(({ own }) => operation.outputs.indexOf(own));
  const run: Prepared['run'] = (values) => {
    const made = prepared.run(values);
    return places.map((place) => made[place] as (typeof made)[number]);
  };
  const specsOf = [...inputs, ...outputs].map(({ tensor }) => specs.get(tensor) as ValueSpec);
  const isByRow = prepared.mixesRows !== true && specsOf.every(({ shape }) => shape[0] === null);
  return { inputs, outputs, isWhole: true, isByRow, run };
}

function fitModel(step: Step, signature: Signature, specs: Map<string, ValueSpec>) {
  if (step.parameters !== undefined) throw invalid('a model has no parameters here.');
  const names = signature.inputs.map(({ name }) => name);
  const inputs = portsOf(step.inputs, names, 'input', true);
  for (const [i, { own, tensor }] of inputs.entries())
    assertFits(own, signature.inputs[i] as NamedSpec, tensor, specs.get(tensor) as ValueSpec);
  const outputNames = signature.outputs.map(({ name }) => name);
  const outputs = portsOf(step.outputs, outputNames, 'output', false);
  for (const { own, tensor } of outputs) {
    const { dtype, shape } = signature.outputs[outputNames.indexOf(own)] as NamedSpec;
    assertSize(`its output "${own}"`, { dtype, shape });
    specs.set(tensor, { dtype, shape });
  }
  return { inputs, outputs, isWhole: outputs.length === outputNames.length, isByRow: false };
}

/** The edges of a step in the order of its own names. */
function portsOf(
  map: Readonly<Record<string, string>>,
  names: readonly string[],
  what: 'input' | 'output',
  isComplete: boolean,
): Port[] {
  const extra = Object.keys(map).find((own) => !names.includes(own));
  if (extra !== undefined) throw invalid(`it has no ${what} "${extra}"; it has ${names.join(', ')}.`);
  const missing = names.find((own) => !Object.hasOwn(map, own));
  if (isComplete && missing !== undefined) throw invalid(`its ${what} "${missing}" is not fed.`);
  return names.filter((own) => Object.hasOwn(map, own)).map((own) => ({ own, tensor: map[own] as string }));
}

function checkedParameters<T extends Operation['parameters']>(
  { parameters }: Operation<T>,
  given: unknown,
): Static<T> {
  if (Value.Check(parameters, given)) return given as Static<T>;
  const [first] = Value.Errors(parameters, given);
  const place = first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  throw invalid(
    `parameters${place === '' ? '' : `.${place}`} ${first?.message ?? 'are not as they should be'}.`,
  );
}

function assertFits(own: string, expected: ValueSpec, tensor: string, given: ValueSpec): void {
  if (expected.dtype !== given.dtype)
    throw invalid(
      `its input "${own}" is ${expected.dtype}, but "${tensor}" is ${given.dtype}; put a cast between them.`,
    );
  const isAlike =
    expected.shape.length === given.shape.length &&
    expected.shape.every((size, axis) => size === null || size === given.shape[axis]);
  if (isAlike) return;
  throw invalid(
    `its input "${own}" takes ${showShape(expected.shape)}, but "${tensor}" is ${showShape(given.shape)}.`,
  );
}

function assertSize(what: string, { shape }: ValueSpec): void {
  if (shape.length > AXES_MAX)
    throw invalid(`${what} has ${shape.length} axes; at most ${AXES_MAX} are allowed.`);
  const elements = shape.reduce<number>((product, size) => product * (size ?? 1), 1);
  if (elements > ROW_ELEMENTS_MAX)
    throw invalid(`${what} has ${elements} elements a row; at most ${ROW_ELEMENTS_MAX} are allowed.`);
}

/** Every input is read and every step leads to an output. */
function assertUsed(description: Description, givers: ReadonlyMap<string, number | undefined>): void {
  const needed = new Set<string>();
  const open = [...description.outputs];
  for (let tensor = open.pop(); tensor !== undefined; tensor = open.pop()) {
    if (needed.has(tensor)) continue;
    needed.add(tensor);
    const giver = givers.get(tensor);
    if (giver !== undefined) open.push(...Object.values((description.steps[giver] as Step).inputs));
  }
  const idle = description.steps.find(
    (step) => !Object.values(step.outputs).some((tensor) => needed.has(tensor)),
  );
  if (idle !== undefined) throw atStep(idle.id, invalid('nothing that it gives leads to an output.'));
  const unread = description.inputs.find(({ name }) => !needed.has(name));
  if (unread !== undefined) throw invalid(`No step reads the input "${unread.name}".`);
}
