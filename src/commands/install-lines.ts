/** The `flatpak` commands that install from a service that has just started. */
import type { Service } from '../app/service.ts';
import type { Config } from '../config/config.ts';
import { inflate } from '../indexing/chunk/gzip-member.ts';
import { DEFAULT_TAG } from '../registry/reference.ts';

const GOARCH: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', ia32: '386', arm: 'arm' };

/** Returns the `flatpak` commands that install an app of the default index, below a heading. */
export async function installLines(service: Service, config: Config): Promise<string> {
  const { tag, appId } = await findApp(service, config);
  const { defaultIndex, indexes } = config;
  const remote = indexes.find(({ name }) => name === defaultIndex)?.remoteName ?? defaultIndex;
  const file = (path: string): string =>
    tag === DEFAULT_TAG ? `${service.url}/${path}` : `'${service.url}/${path}?tag=${tag}'`;
  // The .flatpakref works even if another remote has this name.
  return [
    'To install from it:',
    `  flatpak remote-add --user --if-not-exists ${remote} ${file(`${defaultIndex}.flatpakrepo`)}`,
    `  flatpak install --user ${file(`${defaultIndex}/${appId}.flatpakref`)}`,
  ].join('\n');
}

/**
 * Finds an app for this machine's architecture, with Flatpak's default tag if possible, else with the first tag that
 * has one.
 */
async function findApp(service: Service, { defaultIndex }: Config): Promise<{ tag: string; appId: string }> {
  const index = service.indexes.get(defaultIndex);
  const architecture = GOARCH[process.arch] ?? process.arch;
  const chunks = index?.shown?.chunks ?? [];
  const tags = [
    ...new Set(
      chunks.flatMap(({ ready }) =>
        ready.flatMap((question) => (question.architecture === architecture ? [question.tag] : [])),
      ),
    ),
  ];
  for (const tag of tags.includes(DEFAULT_TAG) ? [DEFAULT_TAG] : tags) {
    for (const chunk of chunks) {
      const part = chunk.readyPart({ field: 'label', tag, architecture });
      if (part === undefined || part.images === 0) continue;
      const [, appId] = /"org\.flatpak\.ref":"app\/([^/"]+)\//.exec((await inflate(part.entries)).toString()) ?? [];
      if (appId !== undefined) return { tag, appId };
    }
  }
  return { tag: DEFAULT_TAG, appId: 'APP_ID' };
}
