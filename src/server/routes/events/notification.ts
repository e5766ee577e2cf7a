/** Notifications, and what is read from them: only names of repositories and tags. */
import type { IncomingHttpHeaders } from 'node:http';
import { isDigest } from '../../../registry/digest.ts';
import { isRepositoryName, isTag } from '../../../registry/reference.ts';
import { isJsonObject, type JsonObject } from '../../../system/is-json-object.ts';

/** One notification: a JSON object, with the headers of its request. */
export interface Notification {
  readonly headers: IncomingHttpHeaders;
  readonly body: JsonObject;
}

/** A repository, or one tag of it, that changed. */
export interface Change {
  readonly repository: string;
  readonly tag?: string;
}

/** The content of a notification. */
export interface ParsedEvents {
  readonly changes: readonly Change[];
  /** Number of events that change no tag. */
  readonly ignored: number;
  /** Number of events that only test whether notifications get here. */
  readonly pings: number;
  /** An error for each invalid event. */
  readonly malformed: readonly string[];
}

/** A kind of notification. */
export interface Sender {
  /** The name of what sends it, as the documentation has it. */
  readonly name: string;
  /** Parses a notification; returns `undefined` if it is of another kind. Never throws. */
  readonly parse: (notification: Notification) => ParsedEvents | undefined;
}

const NOTHING: ParsedEvents = { changes: [], ignored: 0, pings: 0, malformed: [] };
/** An event that changes no tag. */
export const IGNORED: ParsedEvents = { ...NOTHING, ignored: 1 };
/** A test whether notifications get here. */
export const PING: ParsedEvents = { ...NOTHING, pings: 1 };

/** Reports an event that cannot be understood. */
export function malformed(fault: string): ParsedEvents {
  return { ...NOTHING, malformed: [fault] };
}

/**
 * Reports a change. An invalid tag counts as none, so that the whole repository is read.
 * @param field where the name of the repository is, for the error
 */
export function changed(repository: unknown, tag: unknown, field: string): ParsedEvents {
  if (!isRepositoryName(repository)) return malformed(`${field} is not the name of a repository`);
  return { ...NOTHING, changes: [isTag(tag) ? { repository, tag } : { repository }] };
}

/** Reports that a tag was written, as {@link changed}. A push by digest, or without a name, changes no tag. */
export function pushed(repository: unknown, tag: unknown, field: string): ParsedEvents {
  const parsed = changed(repository, tag, field);
  return parsed.changes.length > 0 && (tag === '' || isDigest(tag)) ? IGNORED : parsed;
}

/** Joins the contents of several events. */
export function combine(parsed: readonly ParsedEvents[]): ParsedEvents {
  return {
    changes: parsed.flatMap(({ changes }) => changes),
    ignored: parsed.reduce((sum, { ignored }) => sum + ignored, 0),
    pings: parsed.reduce((sum, { pings }) => sum + pings, 0),
    malformed: parsed.flatMap(({ malformed: faults }) => faults),
  };
}

/** Returns the name of an owner's repository, in lower case as registries have it. */
export function ownedRepository(owner: unknown, name: unknown): string | undefined {
  return typeof owner === 'string' && typeof name === 'string' ? `${owner}/${name}`.toLowerCase() : undefined;
}

/** Returns a member that is a JSON object; an empty one if it is not. */
export function objectIn(parent: JsonObject, name: string): JsonObject {
  const member = parent[name];
  return isJsonObject(member) ? member : {};
}
