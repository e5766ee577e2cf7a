/** Runs the commands of `npm run dev:…`. */

/** Runs a command; an error is printed and makes the exit status 1. */
export async function runAsCommand(command: () => Promise<void>): Promise<void> {
  try {
    await command();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
