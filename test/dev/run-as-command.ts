/** The commands of `npm run dev:…`. */

/** Runs a command: what goes wrong is told in its own words, and makes the exit status 1. */
export async function runAsCommand(command: () => Promise<void>): Promise<void> {
  try {
    await command();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
