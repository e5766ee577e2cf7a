/** `npm run bench -- [NAME…] [--out FILE]`: measures, prints the tables, and writes them as JSON where `--out` says. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Benchmark } from './benchmark.ts';
import { build } from './build.ts';
import { deltas } from './deltas.ts';
import { large } from './large.ts';
import { latency } from './latency.ts';
import { machineLine, thisMachine } from './machine.ts';
import { page } from './page.ts';
import { push } from './push.ts';
import { replicas } from './replicas.ts';
import { soak } from './soak.ts';
import { serve } from './serve.ts';
import { tableMarkdown, tableObject } from './table.ts';

const WRONG_USAGE = 2;

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  build,
  deltas,
  large,
  latency,
  page,
  push,
  replicas,
  serve,
  soak,
};

const USAGE = `Usage: npm run bench -- [NAME…] [--out FILE]

Measures, and prints the figures as tables; without a NAME, all of these:
${Object.entries(BENCHMARKS)
  .map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`)
  .join('\n')}

  --out FILE  write them as JSON, too
`;

function wrongUsage(message: string): never {
  process.stderr.write(`${message}\n\n${USAGE}`);
  process.exit(WRONG_USAGE);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    return wrongUsage(error instanceof Error ? error.message : String(error));
  }
}

const { values, positionals } = readArguments();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit();
}
const chosen = (positionals.length > 0 ? positionals : Object.keys(BENCHMARKS)).map((name) => {
  const benchmark = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  return [name, benchmark ?? wrongUsage(`There is no benchmark "${name}".`)] as const;
});

const machine = thisMachine();
const results: Record<string, unknown> = {};
for (const [name, benchmark] of chosen) {
  const tables: object[] = [];
  results[name] = tables;
  // Each is printed once it is measured: a benchmark may take long, and fail.
  for await (const table of await benchmark.run()) {
    process.stdout.write(`${tableMarkdown(table)}\n`);
    tables.push(tableObject(table));
  }
}
process.stdout.write(`${machineLine(machine)}\n`);
if (values.out !== undefined)
  writeFileSync(values.out, `${JSON.stringify({ machine, benchmarks: results }, null, 2)}\n`);
