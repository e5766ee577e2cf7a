/** Parses notifications from registries. Only names of repositories and tags are taken from them. */
import { isRepositoryName, isTag } from '../../../registry/reference.ts';
import { IMAGE_INDEX_TYPES, IMAGE_MANIFEST_TYPES } from '../../../registry/media-types.ts';

/** A repository, or one tag of it, that changed. */
interface Change {
  readonly repository: string;
  readonly tag?: string;
}

/**
 * Result of {@link parseEvents}: `ignored` counts events that change no tag, `malformed` has an error for each invalid
 * event.
 */
export interface ParsedEvents {
  readonly changes: readonly Change[];
  readonly ignored: number;
  readonly malformed: readonly string[];
}

const IGNORED: ParsedEvents = { changes: [], ignored: 1, malformed: [] };
const INVALID_NAME = 'is not the name of a repository';

/**
 * Parses a notification: an envelope of Distribution 2 or 3, or a webhook of Harbor or Quay. Never throws: registries
 * repeat what is refused.
 */
export function parseEvents(body: string): ParsedEvents {
  let envelope: unknown;
  try {
    envelope = JSON.parse(body);
  } catch {
    return malformed('it is not JSON');
  }
  if (!isObject(envelope)) return malformed('it is not a JSON object');
  if (Array.isArray(envelope['events'])) return combine(envelope['events'].map(distributionEvent));
  if (isObject(envelope['event_data'])) return harborEvent(envelope['type'], envelope['event_data']);
  if (typeof envelope['repository'] === 'string' && 'docker_url' in envelope)
    return tagsOf(envelope['repository'], envelope['updated_tags']);
  return malformed('it has neither events (Distribution), event_data (Harbor), nor repository and docker_url (Quay)');
}

/** Parses an event of Distribution (docs/notifications.md). */
function distributionEvent(event: unknown): ParsedEvents {
  if (!isObject(event) || !isObject(event['target'])) return malformed('an event has no target');
  const { repository, tag, mediaType } = event['target'];
  if (event['action'] === 'delete')
    return isRepositoryName(repository)
      ? change(repository, tag)
      : malformed(`target.repository of an event ${INVALID_NAME}`);
  if (event['action'] !== 'push') return IGNORED;
  if (typeof mediaType !== 'string' || !(IMAGE_MANIFEST_TYPES.has(mediaType) || IMAGE_INDEX_TYPES.has(mediaType)))
    return IGNORED;
  if (!isRepositoryName(repository)) return malformed(`target.repository of an event ${INVALID_NAME}`);
  // A push by digest changes no tag.
  return tag === undefined || tag === '' ? IGNORED : change(repository, tag);
}

/** Parses a webhook of Harbor ("Configure Webhook Notifications"). */
function harborEvent(type: unknown, { repository, resources }: Record<string, unknown>): ParsedEvents {
  if (type !== 'PUSH_ARTIFACT' && type !== 'DELETE_ARTIFACT') return IGNORED;
  if (!isObject(repository) || !isRepositoryName(repository['repo_full_name']))
    return malformed(`event_data.repository.repo_full_name ${INVALID_NAME}`);
  const name = repository['repo_full_name'];
  const tags = Array.isArray(resources)
    ? resources.map((resource: unknown) => (isObject(resource) ? resource['tag'] : undefined))
    : [];
  return type === 'DELETE_ARTIFACT' || tags.length === 0
    ? change(name, undefined)
    : combine(tags.map((tag) => change(name, tag)));
}

/** Parses a webhook of Quay ("Repository push"). */
function tagsOf(repository: string, tags: unknown): ParsedEvents {
  if (!isRepositoryName(repository)) return malformed(`repository ${INVALID_NAME}`);
  return Array.isArray(tags) && tags.length > 0
    ? combine(tags.map((tag: unknown) => change(repository, tag)))
    : change(repository, undefined);
}

/** Reports a change. An invalid tag counts as none, so that the whole repository is read. */
function change(repository: string, tag: unknown): ParsedEvents {
  return { changes: [isTag(tag) ? { repository, tag } : { repository }], ignored: 0, malformed: [] };
}

function malformed(fault: string): ParsedEvents {
  return { changes: [], ignored: 0, malformed: [fault] };
}

function combine(parsed: readonly ParsedEvents[]): ParsedEvents {
  return {
    changes: parsed.flatMap(({ changes }) => changes),
    ignored: parsed.reduce((sum, { ignored }) => sum + ignored, 0),
    malformed: parsed.flatMap(({ malformed: faults }) => faults),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
