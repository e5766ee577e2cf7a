/** The rooms of `src`, and which of them may import which: data flows one way, and so do imports. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { test } from 'node:test';
import { codeIn, marked, ROOT, rows } from './markdown.ts';

/** What each room may import besides `system`, which every room may use. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  system: [],
  registry: [],
  store: ['registry'],
  config: ['registry'],
  indexing: ['registry', 'store'],
  deltas: ['registry'],
  triggers: ['registry', 'indexing'],
  server: ['registry', 'store', 'indexing', 'triggers'],
  export: ['registry', 'indexing', 'server'],
  app: ['registry', 'store', 'config', 'indexing', 'deltas', 'triggers', 'server', 'export'],
  commands: ['registry', 'store', 'config', 'indexing', 'deltas', 'server', 'app'],
  // The programs, and what the package exports.
  '.': ['config', 'app', 'commands'],
};

/** Each module of `src` with what it imports, types included. */
function readImports(): ReadonlyMap<string, readonly string[]> {
  const modules = globSync('src/**/*.ts', { cwd: ROOT });
  return new Map(
    modules.map((module) => {
      const source = readFileSync(join(ROOT, module), 'utf8');
      return [
        module,
        [...source.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path = '']) =>
          join(dirname(module), path),
        ),
      ] as const;
    }),
  );
}

function roomOf(module: string): string {
  const [, room = '', file] = module.split(sep);
  return file === undefined ? '.' : room;
}

const imports = readImports();

test('no room imports one above it', () => {
  assert.ok(imports.size > 100);
  const wrong = [...imports].flatMap(([module, its]) =>
    its
      .filter((other) => {
        const [room, from] = [roomOf(module), roomOf(other)];
        return room !== from && from !== 'system' && MAY_IMPORT[room]?.includes(from) !== true;
      })
      .map((other) => `${module} imports ${other}`),
  );
  assert.deepEqual(wrong, []);
});

test('the page about the architecture lists the rooms, and what they may import', () => {
  const listed = rows(marked('docs/architecture.md', 'rooms')).map(
    ([room, , mayImport]) => [codeIn(room)[0], codeIn(mayImport)] as const,
  );
  assert.deepEqual(listed, Object.entries(MAY_IMPORT));
  assert.deepEqual(new Set(listed.map(([room]) => room)), new Set([...imports.keys()].map(roomOf)));
});

test('no module imports itself by way of others, not for types either', () => {
  const finished = new Set<string>();
  const circles: string[] = [];
  const visit = (module: string, path: readonly string[]): void => {
    const start = path.indexOf(module);
    if (start !== -1) circles.push([...path.slice(start), module].join(' → '));
    if (start !== -1 || finished.has(module)) return;
    for (const other of imports.get(module) ?? []) visit(other, [...path, module]);
    finished.add(module);
  };
  for (const module of imports.keys()) visit(module, []);
  assert.deepEqual(circles, []);
});
