/** Starts the program, or says that Node.js is too old. Loads only modules that an older Node.js can load. */
import '../system/memory.ts';
import module from 'node:module';

/** Least version, as in `engines` of package.json. */
const NEEDED = [24, 11] as const;

/** Runs the command in `args`, and sets the exit status. */
export async function start(args: readonly string[]): Promise<void> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    process.stderr.write(
      `regindexer: Node.js ${NEEDED.join('.')} or newer is needed, but this is ${process.versions.node}: install a newer one, and install regindexer with it\n`,
    );
    process.exitCode = 1;
    return;
  }
  // Short runs spend most of their time compiling modules.
  module.enableCompileCache();
  const { run } = await import('./commands.ts');
  process.exitCode = await run(args);
}
