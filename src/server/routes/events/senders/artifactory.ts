/** Webhooks of Artifactory for Docker repositories ("Domain: docker"). */
import { isRepositoryName } from '../../../../registry/reference.ts';
import { isJsonObject } from '../../../../system/is-json-object.ts';
import { changed, combine, IGNORED, ownedRepository, type Sender } from '../notification.ts';

const EVENTS: ReadonlySet<unknown> = new Set(['pushed', 'deleted', 'promoted']);

/** Bodies `{"domain": "docker", "event_type": "pushed", "data": {"repo_key", "image_name", "tag"}}`. */
export const artifactory: Sender = {
  name: 'Artifactory',
  parse({ body: { domain, event_type: event, data } }) {
    if (typeof domain !== 'string' || typeof event !== 'string' || !isJsonObject(data)) return undefined;
    if (domain !== 'docker' || !EVENTS.has(event)) return IGNORED;
    const { repo_key: key, image_name: image, tag } = data;
    // Whether clients name Artifactory's own repository too depends on how it is reached; the other name leads nowhere.
    const names = [image, ownedRepository(key, image)].filter(isRepositoryName);
    return names.length === 0
      ? changed(image, tag, 'data.image_name')
      : combine(names.map((name) => changed(name, tag, 'data.image_name')));
  },
};
