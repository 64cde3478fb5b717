import { expect, test } from '@jest/globals';
import type { AlarmState } from '../../src/drift/alarm-state.ts';
import {
  afterWindow,
  CLEAR,
  CLEAR_AFTER,
  COOL_DOWN_WINDOWS,
  RAISE_AFTER,
} from '../../src/drift/alarm-state.ts';

const WINDOW = { d: 'drifted', s: 'stable', t: 'too-few-rows', n: 'no-reference' } as const;

/** The state after windows, one letter each, and when alarms were raised and cleared. */
function after(windows: string, from: AlarmState = CLEAR): { state: AlarmState; changes: string } {
  let state = from;
  let changes = '';
  for (const letter of windows) {
    const next = afterWindow(state, WINDOW[letter as keyof typeof WINDOW]);
    changes += next.isRaised === state.isRaised ? '.' : next.isRaised ? '!' : 'x';
    state = next;
  }
  return { state, changes };
}

test('one drifted window is no alarm, two in a row are', () => {
  expect([RAISE_AFTER, CLEAR_AFTER]).toEqual([2, 3]);
  expect(after('dsdsd').changes).toBe('.....');
  expect(after('sdd').changes).toBe('..!');
});

test('three stable windows in a row clear it, fewer do not', () => {
  expect(after('ddssdsss').changes).toBe('.!.....x');
});

test('windows that decide nothing neither raise nor clear nor start over', () => {
  expect(after('dtntd').changes).toBe('....!');
  expect(after('ddstsns').changes).toBe('.!....x');
});

test('after an alarm was cleared none is raised for a while, then one is if it still drifts', () => {
  const { state } = after('ddsss');
  const { changes } = after('d'.repeat(COOL_DOWN_WINDOWS + 1), state);
  expect(changes.indexOf('!')).toBe(COOL_DOWN_WINDOWS - 1);
});
