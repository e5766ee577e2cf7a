/** The shapes of answers, for `/openapi.json` alone: nothing is made from them, and nothing slowed down. */
import { Type } from 'typebox';

const Text = Type.String();
const Texts = Type.Array(Text);
const Count = Type.Integer({ minimum: 0 });
const Time = Type.String({ description: 'ISO 8601' });
const Seconds = Type.Number();

/** All errors have this shape, `/readyz` and those of the Distribution API with more beside it. */
export const ErrorAnswer = Type.Object({ statusCode: Type.Integer(), error: Text, message: Type.String({ description: 'What is wrong, and what to do.' }) }, { description: 'An error' });

const Strings = Type.Record(Text, Text);
const image = { Digest: Text, MediaType: Text, OS: Text, Architecture: Text, Annotations: Strings, Labels: Strings };
const Tags = { Tags: Texts };
/** An index, whole or as a query leaves it (flatpak-oci-specs, registry-index.md). */
export const Index = Type.Object({
  Registry: Type.String({ description: 'The registry’s URL, relative to that of the document.' }),
  Results: Type.Array(
    Type.Object({
      Name: Text,
      Images: Type.Array(Type.Object({ ...Tags, ...image })),
      Lists: Type.Array(Type.Object({ ...Tags, Digest: Text, MediaType: Text, Images: Type.Array(Type.Object(image)) })),
    }),
  ),
});

const Changed = Type.Object({ count: Count, ids: Type.Array(Text, { description: 'The first of them.' }) });
const Held = Type.Optional(Type.Object({ images: Count, of: Count }, { description: 'Images that the registry says are gone, kept until the next full scan finds the same.' }));
const RebuiltIndex = Type.Object({
  index: Text,
  images: Count,
  bytes: Count,
  changed: Type.Boolean(),
  apps: Type.Optional(Type.Object({ added: Changed, updated: Changed, removed: Changed })),
  seconds: Seconds,
  error: Type.Optional(Text),
  held: Held,
  warnings: Texts,
});
const progress = Type.Object({ done: Count, total: Count });
const rebuild = {
  id: Text,
  registry: Type.Optional(Type.String({ description: 'Unless it is one over several registries.' })),
  reasons: Texts,
  otherReasons: Type.Integer({ description: 'How many more there were.' }),
  scope: Type.Object({ indexes: Type.Union([Type.Literal('all'), Texts]), repositories: Texts, more: Type.Optional(Count), acceptLosses: Type.Optional(Type.Boolean()) }),
  state: Type.Enum(['queued', 'running', 'done', 'failed']),
  queuedAt: Time,
  dueAt: Type.Optional(Time),
  startedAt: Type.Optional(Time),
  finishedAt: Type.Optional(Time),
  progress: Type.Optional(Type.Object({ phase: Type.Enum(['scanning', 'rendering']), repositories: progress, images: progress, requests: Count })),
  result: Type.Optional(
    Type.Object({
      repositories: Count,
      requests: Count,
      newImages: Count,
      failed: Count,
      failures: Type.Array(Type.Object({ repository: Type.Optional(Text), error: Text })),
      indexes: Type.Array(RebuiltIndex),
    }),
  ),
  error: Type.Optional(Text),
};
/** As `rebuildView` gives it. */
export const RebuildAnswer = Type.Object({ ...rebuild, rebuilds: Type.Optional(Type.Array(Type.Object(rebuild))) });

const messages = { triggered: Count, ignored: Count, malformed: Count };
const IndexStatus = Type.Object({
  name: Text,
  registry: Text,
  file: Type.String({ description: 'The path of the whole index.' }),
  ready: Type.Boolean(),
  images: Type.Optional(Count),
  bytes: Type.Optional(Count),
  etag: Type.Optional(Type.String({ description: 'Changes when the content of the whole index does.' })),
  modified: Type.Optional(Time),
  held: Held,
  warnings: Type.Array(Text, { description: 'Of its configuration, and of what it holds.' }),
  lastRebuild: Type.Optional(
    Type.Object({ id: Text, state: Text, finishedAt: Time, seconds: Seconds, changed: Type.Optional(Type.Boolean()), warnings: Type.Optional(Texts), error: Type.Optional(Text) }),
  ),
});
export const StatusAnswer = Type.Object({
  version: Text,
  startedAt: Time,
  indexes: Type.Array(IndexStatus),
  rebuilds: Type.Array(RebuildAnswer, { description: 'The newest first.' }),
  bus: Type.Union([
    Type.Null(),
    Type.Object({
      state: Type.Enum(['connecting', 'connected', 'closed']),
      url: Type.Optional(Text),
      since: Time,
      destinations: Texts,
      messages: Type.Object(messages),
      reconnects: Count,
      lastError: Type.Optional(Type.Object({ message: Text, at: Time })),
    }),
  ]),
  events: Type.Object(messages),
  eventLoopDelay: Type.Object({ p99: Type.Number(), max: Type.Number() }, { description: 'Of the thread that answers, in milliseconds.' }),
});

export const EventsAnswer = Type.Object({ accepted: Type.Integer({ description: 'Of the changes that were notified, those that some index takes.' }) });
