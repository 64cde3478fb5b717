import { randomInt } from 'node:crypto';

const QUALITIES = (
  'amber brisk calm clear cool crisp deep eager early fair fast fine firm fresh gentle grand happy keen kind late ' +
  'level light live loyal lucid mild neat nimble patient plain prime proud quick quiet rapid ready rich ' +
  'sharp silver smooth solid steady still stout sunny swift tidy true vivid warm wide wise'
).split(' ');
const THINGS = (
  'alder barley beck birch bridge brook channel cliff cloud creek delta eddy falls fern ferry field flume ford ' +
  'gorge grain harbor heron lake ledge lock meadow mill millstone otter pebble pond pool quarry rain rapid ' +
  'reed ridge river sluice spring stone stream tide trout valley water weir wheel willow'
).split(' ');
const NUMBERS = 1_000;

/** A name for a run that was given none, such as `steady-weir-412`. */
export function randomRunName(): string {
  const pick = (words: readonly string[]): string => words[randomInt(words.length)] ?? '';
  return `${pick(QUALITIES)}-${pick(THINGS)}-${randomInt(NUMBERS)}`;
}
