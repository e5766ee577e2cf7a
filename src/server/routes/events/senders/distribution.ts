/** Notifications of Distribution 2 and 3, and of registries made from it, such as GitLab's (docs/notifications.md). */
import { IMAGE_INDEX_TYPES, IMAGE_MANIFEST_TYPES } from '../../../../registry/media-types.ts';
import { isJsonObject } from '../../../../system/is-json-object.ts';
import { changed, combine, IGNORED, malformed, type ParsedEvents, pushed, type Sender } from '../notification.ts';

const REPOSITORY = 'target.repository of an event';

/** Envelopes `{"events": [{"action": "push", "target": {"repository", "tag", "mediaType"}}]}`. */
export const distribution: Sender = {
  name: 'Distribution',
  parse({ body: { events } }) {
    return Array.isArray(events) ? combine(events.map(distributionEvent)) : undefined;
  },
};

/** Parses one event. */
export function distributionEvent(event: unknown): ParsedEvents {
  if (!isJsonObject(event) || !isJsonObject(event['target'])) return malformed('an event has no target');
  const { repository, tag, mediaType } = event['target'];
  if (event['action'] === 'delete') return changed(repository, tag, REPOSITORY);
  return event['action'] === 'push' && isImageType(mediaType) ? pushed(repository, tag ?? '', REPOSITORY) : IGNORED;
}

/** Says whether a media type is that of an image manifest or an image index; blobs are pushed, too. */
export function isImageType(mediaType: unknown): boolean {
  return typeof mediaType === 'string' && (IMAGE_MANIFEST_TYPES.has(mediaType) || IMAGE_INDEX_TYPES.has(mediaType));
}
