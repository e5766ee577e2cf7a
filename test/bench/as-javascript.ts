/** Programs of this folder as JavaScript: what is measured, or measures it, must not spend its time on types. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/** Below `node_modules`, where their packages are found. */
const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/regindexer-bench');
/** By which the program finds what belongs to it. */
const PACKAGE = 'package.json';

/** Writes `NAME.ts` of this folder as JavaScript; returns the path. */
export async function asJavaScript(name: string): Promise<string> {
  const file = join(FOLDER, `${name}.js`);
  await using program = await rolldown({
    input: join(import.meta.dirname, `${name}.ts`),
    platform: 'node',
    external: /^[^./]/,
  });
  await program.write({ file });
  await copyFile(join(import.meta.dirname, '../..', PACKAGE), join(FOLDER, PACKAGE));
  return file;
}
