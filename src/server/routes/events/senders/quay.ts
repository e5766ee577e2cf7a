/** Webhooks of Quay ("Repository Notifications"). */
import { changed, combine, type Sender } from '../notification.ts';

/** Bodies `{"repository", "docker_url", "updated_tags": […]}`; events of other kinds have no tags. */
export const quay: Sender = {
  name: 'Quay',
  parse({ body }) {
    const { repository, updated_tags: tags } = body;
    if (typeof repository !== 'string' || !('docker_url' in body)) return undefined;
    return Array.isArray(tags) && tags.length > 0
      ? combine(tags.map((tag) => changed(repository, tag, 'repository')))
      : changed(repository, undefined, 'repository');
  },
};
