/** Watches folders of sources. */
import { watch } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

/** In milliseconds: an editor writes a file in several steps, and a checkout writes many files. */
const QUIET = 200;

/** Calls `onChange` after each burst of changes below `folders`, one call at a time, until `signal` aborts. */
export async function watchSources(
  folders: readonly string[],
  signal: AbortSignal,
  onChange: (file: string) => Promise<void>,
): Promise<void> {
  let changed: string | undefined;
  let handling: Promise<void> | undefined;
  const handle = async (): Promise<void> => {
    while (changed !== undefined && !signal.aborted) {
      const file = changed;
      changed = undefined;
      await pause(QUIET);
      // Another change restarts the wait.
      if (changed === undefined) await onChange(file);
    }
    handling = undefined;
  };
  const watchFolder = async (folder: string): Promise<void> => {
    try {
      for await (const { filename } of watch(folder, { recursive: true, signal })) {
        changed = filename ?? folder;
        handling ??= handle();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };
  await Promise.all(folders.map(watchFolder));
  await handling;
}
