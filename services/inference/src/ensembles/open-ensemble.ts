import { setImmediate } from 'node:timers/promises';
import type { EnsemblePlan, PinnedEnsemble, Signature } from '@millrace/ensemble';
import { planEnsemble } from '@millrace/ensemble';
import type { JoinLimits, Measurement } from '../engine/host-protocol.ts';
import { measure } from '../engine/measure.ts';
import type { QueueLimits } from '../engine/request-queue.ts';
import { createRequestQueue } from '../engine/request-queue.ts';
import type { ServedModel } from '../engine/served-model.ts';
import type { ModelSignature, TensorSpec } from '../tensors/tensor.ts';
import type { Member, Members } from './ensemble-runner.ts';
import { askRunners, createEnsembleRunner } from './ensemble-runner.ts';
import { runPlan } from './run-plan.ts';

/** The rows of a request have one number, whichever input they are counted at. */
const ROW_SYMBOL = 'rows';

function signatureOf(plan: EnsemblePlan): ModelSignature {
  const spec = ({ name, dtype, shape }: Signature['inputs'][number]): TensorSpec => ({
    name,
    dtype,
    shape,
    ...(shape[0] === null && { rowSymbol: ROW_SYMBOL }),
  });
  return { inputs: plan.inputs.map(spec), outputs: plan.outputs.map(spec) };
}

/** What was measured of the whole, cut to what holds for every member. */
function withMembers(whole: Measurement, plan: EnsemblePlan, members: Members): Measurement {
  const residentBytes = 0;
  for (const { id, index } of plan.steps) {
    const member = members.get(index)?.served.measurement;
    if (member === undefined || member.rowsJoinedMax >= 2) continue;
    const batchReason = `step "${id}": ${member.batchReason}`;
    return { ...whole, residentBytes, isBatched: false, rowsJoinedMax: 1, batchReason };
  }
  const limits = [...members.values()].map(({ served }) => served.measurement.rowsJoinedMax);
  return { ...whole, residentBytes, rowsJoinedMax: Math.min(whole.rowsJoinedMax, ...limits) };
}

/**
 * Makes an ensemble of members that are loaded: checks it against what they take and give, warms and measures the
 * whole. Throws `invalid_ensemble`, or what a step throws in the warm-up, with the step named.
 */
export async function openEnsemble(
  description: PinnedEnsemble,
  members: Members,
  { limits, joining }: { limits: QueueLimits; joining: JoinLimits },
): Promise<ServedModel> {
  const start = performance.now();
  const plan = planEnsemble(description, (_, index) => (members.get(index) as Member).served.signature);
  const signature = signatureOf(plan);
  const session = {
    signature,
    isUnbounded: false,
    run: async (...[inputs, outputs]: Parameters<ServedModel['runner']['run']>) =>
      (await runPlan(plan, inputs, outputs, askRunners(members))).outputs,
    close: async () => undefined,
  };
  // its members run their own rows in pairs where they must
  const whole = await measure(session, () => 0, { ...joining, pairMsMax: 0 });
  const measurement = withMembers(whole, plan, members);
  const runner = createEnsembleRunner(plan, members);
  const joinedRowsMax = Math.min(limits.joinedRowsMax, measurement.rowsJoinedMax);
  const queue = createRequestQueue(runner, measurement.isBatched, { ...limits, joinedRowsMax });
  const placed = plan.steps.flatMap(({ id, index }) => {
    const placement = members.get(index)?.served.runner.placement;
    return placement === undefined ? [] : [`${id} ${placement}`];
  });
  return {
    signature,
    queue,
    runner,
    measurement,
    placementReason: `its models run where they are: ${placed.join(', ') || 'it has none'}`,
    loadMs: performance.now() - start,
    ensemble: {
      steps: description.steps.map(({ kind, inputs, outputs }, index) => {
        const member = members.get(index)?.version;
        const model = member?.model ?? `builtin:${kind}`;
        return { model, version: member?.ordinal ?? -1, inputs, outputs };
      }),
      members: [
        ...new Map([...members.values()].map((member) => [member.version.modelVersionId, member])).values(),
      ],
    },
    async close() {
      await setImmediate();
      await queue.drain();
      await runner.close();
    },
  };
}
