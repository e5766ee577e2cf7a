/** A registry that is full at its start, and notifies of all that is pushed to it. */
import { existsSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DockerRegistry, DockerRegistryOptions } from '../peers/docker-registry.ts';
import { startDockerRegistry } from '../peers/docker-registry.ts';
import { fillStorage, type StoredApps } from './fill-storage.ts';

/** A file system in memory, on Linux. */
const MEMORY = '/dev/shm';

/** As the README advises: layers and pulls change no tag. */
const IGNORED = { mediatypes: ['application/octet-stream'], actions: ['pull'] };

/** Starts a registry whose files are in memory where they can be, and whose access log is off. */
export async function startNotifyingRegistry(
  apps: StoredApps,
  notifications: NonNullable<DockerRegistryOptions['notifications']>,
): Promise<DockerRegistry> {
  await using started = new AsyncDisposableStack();
  const storage = started.use(
    await mkdtempDisposable(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'regindexer-registry-')),
  );
  process.stderr.write(
    `filling a registry: ${apps.repositories.toLocaleString('en')} repositories of ${apps.tags.length} tags\n`,
  );
  fillStorage(storage.path, apps);
  const sections = {
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: storage.path }, delete: { enabled: true } },
  };
  const registry = started.use(
    await startDockerRegistry({ sections, notifications: { ...notifications, ignore: IGNORED } }),
  );
  const owned = started.move();
  return Object.assign(registry, { [Symbol.asyncDispose]: () => owned.disposeAsync() });
}
