import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitedLog } from '../../src/system/limited-log.ts';

test('one line of each kind is written a minute, with the number of omitted lines', (t) => {
  t.mock.timers.enable({ apis: ['Date'] });
  const log = new LimitedLog<'a' | 'b'>();
  const lines: string[] = [];
  const write = (kind: 'a' | 'b'): void => log.line(kind, (omitted) => lines.push(`${kind} ${omitted}`));

  for (let second = 0; second < 60; second++) {
    write('a');
    t.mock.timers.tick(1_000);
  }
  write('b');
  assert.deepEqual(lines, ['a 0', 'b 0']);
  write('a');
  write('a');
  assert.deepEqual(lines, ['a 0', 'b 0', 'a 59']);
});
