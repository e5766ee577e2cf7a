/** Webhooks of Gitea and Forgejo for packages ("Webhooks"). */
import { changed, IGNORED, objectIn, ownedRepository, pushed, type Sender } from '../notification.ts';

/**
 * Header `X-Gitea-Event: package`, and `{"action": "created", "package": {"type": "container", "name", "version",
 * "owner": {"login"}}}`; the version is a tag or a digest. Both also send the headers of GitHub.
 */
export const gitea: Sender = {
  name: 'Gitea or Forgejo',
  parse({ headers, body }) {
    const event = headers['x-gitea-event'] ?? headers['x-forgejo-event'];
    if (event === undefined) return undefined;
    const published = objectIn(body, 'package');
    if (event !== 'package' || published['type'] !== 'container') return IGNORED;
    const report = body['action'] === 'deleted' ? changed : pushed;
    return report(
      ownedRepository(objectIn(published, 'owner')['login'], published['name']),
      published['version'],
      'package.owner.login/name',
    );
  },
};
