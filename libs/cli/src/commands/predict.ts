import { readFileSync } from 'node:fs';
import type { Command, Context } from '../command.ts';
import { argument, modelArgument, show, textOption, UsageError } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { fields } from '../format.ts';

export const predictCommand: Command = {
  name: 'predict',
  summary: 'ask a model for a prediction',
  help: `millrace predict MODEL[@VERSION] --features JSON|@FILE|-

The features are an object of input names to numbers, flat or nested:
  millrace predict iris --features '{"float_input": [5.1, 3.5, 1.4, 0.2]}'
  millrace predict verichain --features @image.json`,
  options: { features: { type: 'string', short: 'f' }, user: { type: 'string' } },
  async run(context) {
    const { name, version } = modelArgument(argument(context, 0, 'MODEL[@VERSION]'));
    const features = await readFeatures(context);
    const userId = textOption(context, 'user');
    const answer = await context.client.predict({
      modelId: name,
      features,
      ...(version === undefined ? {} : { version }),
      ...(userId === undefined ? {} : { userId }),
    });
    show(context, answer, () =>
      fields([
        ...Object.entries(answer.prediction).map(
          ([output, value]) => [output, JSON.stringify(value)] as const,
        ),
        ['confidence', answer.confidence],
        ['model version', answer.modelVersion],
        ['latency', `${answer.latencyMs} ms`],
        ['inference', answer.inferenceId],
      ]),
    );
    return exitCodes.ok;
  },
};

async function readFeatures(context: Context): Promise<Record<string, unknown>> {
  const given = textOption(context, 'features');
  if (given === undefined) throw new UsageError('--features is missing: JSON, @FILE or - for stdin.');
  const text =
    given === '-' ? await context.readInput() : given.startsWith('@') ? readText(given.slice(1)) : given;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--features is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError('--features must be an object of input names to numbers.');
  }
  return value as Record<string, unknown>;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new UsageError(`--features names '${file}', which cannot be read.`);
  }
}
