/** Starts the program, on a Node.js that can run it. Loads nothing by itself that an older one could not load. */
import '../system/memory.ts';
import module from 'node:module';

/** As `engines` in package.json. */
const NEEDED = [24, 11] as const;

/** Runs the command that `args` name, and sets the exit status. */
export async function start(args: readonly string[]): Promise<void> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    process.stderr.write(`regindexer: this is Node.js ${process.versions.node}, and Node.js ${NEEDED.join('.')} or newer is needed: install it, and install regindexer with it\n`);
    process.exitCode = 1;
    return;
  }
  // A short run is mostly loading: what was compiled once need not be again.
  module.enableCompileCache();
  const { run } = await import('./commands.ts');
  process.exitCode = await run(args);
}
