import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { plainLine } from '../../src/system/plain-line.ts';
import { SAMPLE_IMAGES } from '../fixtures/samples.ts';
import { commandResult } from '../peers/run-command.ts';
import { CLI } from '../peers/regindexer.ts';

const LOGGER = resolve(import.meta.dirname, '../../src/system/logger.ts');

/** The standard error of a program that logs `fields` with the message `said`. */
async function logged(fields: object, options: object = {}): Promise<string> {
  const program = `import { createLogger } from ${JSON.stringify(LOGGER)};
    const logger = await createLogger(${JSON.stringify({ verbose: false, terminal: false, ...options })});
    logger.info(${JSON.stringify(fields)}, 'said');
    logger.debug('in detail');`;
  return (await commandResult(process.execPath, ['--input-type=module', '--eval', program], { env: {} })).stderr;
}

test('each line is an object of JSON, with its time and the name of its level', async () => {
  const written = JSON.parse(await logged({ images: 3 })) as Record<string, unknown>;
  assert.deepEqual(Object.keys(written), ['level', 'time', 'images', 'msg']);
  assert.deepEqual([written['level'], written['images'], written['msg']], ['info', 3, 'said']);
  assert.ok(Math.abs(Date.now() - Date.parse(String(written['time']))) < 60_000);
});

/** Returns what a terminal shows for a line with these fields. */
function onTerminal(fields: object): string {
  return stripVTControlCharacters(plainLine(JSON.stringify({ level: 'info', msg: 'said', ...fields })));
}

test('on a terminal, it is plain text; with time and fields only for debug', async () => {
  assert.equal(await logged({ images: 3 }, { terminal: true }), 'said\n');
  // With colours.
  assert.match(await logged({ images: 3 }, { terminal: true, verbose: true }), /INFO.*said.*"?images"?:\s*3/);
});

test('on a terminal, a line says its index, its level and its error, and controls nothing', () => {
  assert.equal(onTerminal({ index: 'apps' }), 'apps: said\n');
  assert.equal(onTerminal({ level: 'warn', index: 'apps', msg: 'apps is late' }), 'Warning: apps is late\n');
  assert.equal(onTerminal({ level: 'error', err: { message: 'no room', stack: 'at' } }), 'Error: said: no room\n');
  assert.equal(
    onTerminal({ level: 'error', msg: 'failed: no room', err: { message: 'no room' } }),
    'Error: failed: no room\n',
  );
  assert.equal(
    onTerminal({ level: 'fatal', err: { message: 'no room', stack: 'where' } }),
    'Error: said: no room\nwhere\n',
  );
  assert.equal(onTerminal({ msg: 'one\n\u001B[31mtwo\r' }), 'one\n\\u001b[31mtwo\\u000d\n');
});

test('secrets are redacted at any depth', async () => {
  const secret = 'hunter2';
  const config = {
    server: { admin_token: secret, adminToken: secret, events_token: secret, eventsToken: secret },
    bus: {
      url: `stomp://user:${secret}@bus.example.org:61613/`,
      urls: [`stomp://one:${secret}@bus.example.org`],
      headers: { passcode: secret },
    },
    registries: { one: { password: secret } },
    request: {
      headers: {
        authorization: `Bearer ${secret}`,
        cookie: secret,
        'set-cookie': [secret],
        'proxy-authorization': secret,
      },
    },
  };
  for (const fields of [
    { config },
    config,
    config.bus,
    config.server,
    config.request,
    config.request.headers,
    config.registries.one,
    { err: { message: 'failed', ...config.request } },
  ]) {
    const text = await logged(fields);
    assert.doesNotMatch(text, /hunter2/);
    assert.match(text, /\[secret\]/);
  }
  assert.match(await logged(config.bus), /"url":"stomp:\/\/bus\.example\.org:61613\/"/);
});

test('-v and LOG_LEVEL choose the level', async (t) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-log-'));
  t.after(() => folder.remove());
  const config = join(folder.path, 'config.yaml');
  await writeFile(config, `indexes: {apps: {registry: 'oci:${SAMPLE_IMAGES}'}}`);
  const levels = async (args: readonly string[], env: Record<string, string>): Promise<readonly string[]> => {
    const { stderr } = await commandResult(process.execPath, [CLI, '--config', config, ...args, 'index'], { env });
    return [
      ...new Set(
        stderr
          .trim()
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => (JSON.parse(line) as { level: string }).level),
      ),
    ];
  };
  assert.deepEqual(await levels([], {}), ['info']);
  assert.deepEqual(await levels([], { LOG_LEVEL: 'error' }), []);
  assert.deepEqual(await levels([], { LOG_LEVEL: '' }), ['info']);
  assert.ok((await logged({}, { verbose: true })).includes('in detail'));
  assert.ok((await logged({}, { level: 'debug' })).includes('in detail'));
  assert.ok(!(await logged({}, { level: 'warn' })).includes('said'));
});

test('an unknown level gives an error that lists the levels', async () => {
  const { code, stderr } = await commandResult(process.execPath, [CLI, '--config', 'config.yaml', 'check'], {
    env: { LOG_LEVEL: 'loud' },
  });
  assert.deepEqual(
    [code, stderr],
    [2, 'LOG_LEVEL: "loud" is not a level, expected one of trace, debug, info, warn, error, fatal, silent\n'],
  );
});
