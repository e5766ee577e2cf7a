/** Webhooks of GitHub for packages ("Webhook events and payloads"). */
import { IGNORED, objectIn, ownedRepository, PING, pushed, type Sender } from '../notification.ts';

const PACKAGE_EVENTS: ReadonlySet<unknown> = new Set(['package', 'registry_package']);
const IMAGE_PACKAGES: ReadonlySet<unknown> = new Set(['CONTAINER', 'container', 'docker']);

/**
 * Header `X-GitHub-Event: package` or `registry_package`, and a member of that name with `{"package_type": "CONTAINER",
 * "name", "owner": {"login"}, "package_version": {"container_metadata": {"tag": {"name"}}}}`. An untagged version has an
 * empty tag.
 */
export const github: Sender = {
  name: 'GitHub',
  parse({ headers, body }) {
    const event = headers['x-github-event'];
    if (typeof event !== 'string') return undefined;
    if (event === 'ping') return PING;
    if (!PACKAGE_EVENTS.has(event)) return IGNORED;
    const published = objectIn(body, event);
    if (!IMAGE_PACKAGES.has(published['package_type'])) return IGNORED;
    const repository = ownedRepository(
      objectIn(published, 'owner')['login'] ?? published['namespace'],
      published['name'],
    );
    const { name: tag } = objectIn(objectIn(objectIn(published, 'package_version'), 'container_metadata'), 'tag');
    return pushed(repository, tag, `${event}.owner.login/name`);
  },
};
