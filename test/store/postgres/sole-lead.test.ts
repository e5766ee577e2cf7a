import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { SoleLead } from '../../../src/store/postgres/sole-lead.ts';
import { StateLockedError } from '../../../src/store/state-lock.ts';
import { needs } from '../../peers/installed.ts';
import { databases, run, takeFor } from './database.ts';

suite('leadership for one command', { ...needs('postgres'), concurrency: true }, () => {
  const createDatabase = databases();

  test('it ends when it is released, and when another takes the lease', async () => {
    const connection = await createDatabase();
    const first = await SoleLead.acquire(connection);
    await first.release();
    assert.equal(first.lost.aborted, true);

    const second = await SoleLead.acquire(connection);
    assert.ok(second.lease.term > first.lease.term);
    assert.equal(second.lost.aborted, false);
    const lost = once(second.lost, 'abort');
    await takeFor(connection, 'another');
    await lost;
    assert.match(
      String(second.lost.reason),
      /^StoreError: this command may not write the database test_\d at .+ any more: /,
    );
    await second.release();
  });

  test('who has it is named', async () => {
    const connection = await createDatabase();
    await takeFor(connection, 'another');
    await assert.rejects(SoleLead.acquire(connection), (error: Error) => {
      assert.ok(error instanceof StateLockedError);
      assert.match(
        error.message,
        /^the database test_\d at .+ is in use by another process: stop all replicas, or name /,
      );
      return true;
    });
    const [lease] = await run<{ holder: string }>(connection, 'SELECT holder FROM lease');
    assert.equal(lease?.holder, 'another');
  });
});
