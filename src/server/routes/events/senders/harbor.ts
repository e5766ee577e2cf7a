/** Webhooks of Harbor, in its default format and as CloudEvents ("Configure Webhook Notifications"). */
import { cloudEventIn } from '../cloud-event.ts';
import { isJsonObject, type JsonObject } from '../../../../system/is-json-object.ts';
import { changed, combine, IGNORED, objectIn, type ParsedEvents, PING, pushed, type Sender } from '../notification.ts';

/**
 * Bodies `{"type": "PUSH_ARTIFACT", "event_data": {"repository": {"repo_full_name"}, "resources": [{"tag"}]}}`, or
 * `{"type": "harbor.artifact.pushed", "data": …}` with the same content.
 */
export const harbor: Sender = {
  name: 'Harbor',
  parse(notification) {
    const { type, event_data: content } = notification.body;
    // Sent by "Test Endpoint", which newer versions do not have.
    if (type === 'testEndpoint') return PING;
    if (isJsonObject(content)) return artifactEvent(content, 'event_data', actionOf(type));
    const event = cloudEventIn(notification);
    return event?.type.startsWith('harbor.') === true
      ? artifactEvent(event.data, 'data', actionOf(event.type))
      : undefined;
  },
};

type Action = 'push' | 'delete' | 'other';

function actionOf(type: unknown): Action {
  if (type === 'PUSH_ARTIFACT' || type === 'harbor.artifact.pushed') return 'push';
  return type === 'DELETE_ARTIFACT' || type === 'harbor.artifact.deleted' ? 'delete' : 'other';
}

/** @param place where `content` is in the notification, for errors */
function artifactEvent(content: JsonObject, place: string, action: Action): ParsedEvents {
  if (action === 'other') return IGNORED;
  const name = objectIn(content, 'repository')['repo_full_name'];
  const field = `${place}.repository.repo_full_name`;
  const { resources } = content;
  return action === 'delete' || !Array.isArray(resources) || resources.length === 0
    ? changed(name, undefined, field)
    : combine(resources.map((resource) => pushed(name, isJsonObject(resource) ? resource['tag'] : undefined, field)));
}
