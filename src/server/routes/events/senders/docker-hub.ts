/** Webhooks of Docker Hub ("Webhooks"), which tells of pushes alone. */
import { isJsonObject } from '../../../../system/is-json-object.ts';
import { objectIn, pushed, type Sender } from '../notification.ts';

/** Bodies `{"push_data": {"tag"}, "repository": {"repo_name"}}`. */
export const dockerHub: Sender = {
  name: 'Docker Hub',
  parse({ body }) {
    if (!isJsonObject(body['push_data'])) return undefined;
    return pushed(objectIn(body, 'repository')['repo_name'], body['push_data']['tag'], 'repository.repo_name');
  },
};
