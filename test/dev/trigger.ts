/**
 * `npm run dev:trigger`: sends Bodhi's message of a complete compose on the running environment's bus, and waits for
 * the rebuild.
 */
import assert from 'node:assert/strict';
import { settled, statusOf, type RebuildJson } from '../e2e/ask-server.ts';
import { eventually } from '../e2e/eventually.ts';
import { connectStomp } from '../peers/stomp.ts';
import { runningEnvironment } from './environment.ts';
import { runAsCommand } from './run-as-command.ts';

const TOPIC = 'org.fedoraproject.dev.bodhi.compose.complete';
const DESTINATION = `/topic/${TOPIC}`;

async function trigger(): Promise<void> {
  const { url, broker } = await runningEnvironment();
  await eventually(async () =>
    assert.equal((await statusOf(url, {})).bus?.state, 'connected', `${url} does not listen on its bus`),
  );
  // A queued rebuild would include the message.
  const known = new Set((await settled(url)).rebuilds.map(({ id }) => id));
  {
    await using connection = await connectStomp(broker);
    await connection.publish(DESTINATION, JSON.stringify({ topic: TOPIC, msg: { ctype: 'flatpak' } }));
  }
  console.log(`Published ${DESTINATION}`);
  const { id } = await eventually(async (): Promise<RebuildJson> => {
    const { rebuilds } = await statusOf(url, {});
    return (
      rebuilds.find(
        (rebuild) => !known.has(rebuild.id) && rebuild.reasons.some((reason) => reason.startsWith('bus:')),
      ) ?? assert.fail(`${url} has not begun to rebuild`)
    );
  });
  const { rebuilds } = await settled(url);
  const { state, error } =
    rebuilds.find((rebuild) => rebuild.id === id) ?? assert.fail(`${url} has forgotten the rebuild ${id}`);
  if (state !== 'done') throw new Error(`the rebuild ${id} is ${state}: ${error}`);
  console.log(`The rebuild ${id} is done`);
}

await runAsCommand(trigger);
