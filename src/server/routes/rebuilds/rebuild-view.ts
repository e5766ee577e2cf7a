/** A rebuild as it is shown over HTTP. */
import { Type } from 'typebox';
import type { Rebuild } from '../../../triggers/rebuild.ts';
import { describeScope } from '../../../triggers/rebuild-scope.ts';
import { checkedResponse, type ResponseOf } from '../../response-schema.ts';

const Text = Type.String();
const Texts = Type.Array(Text);
const Count = Type.Integer({ minimum: 0 });
const Time = Type.String({ description: 'ISO 8601' });
const Progress = Type.Object({ done: Count, total: Count });
const ChangedApps = Type.Object({ count: Count, ids: Type.Array(Text, { description: 'The first of them.' }) });

/** Images that are held back from removal. */
export const Held = Type.Optional(
  Type.Object(
    { images: Count, of: Count },
    { description: 'Images that the registry reports as gone, kept until the next full scan confirms it.' },
  ),
);

const RebuiltIndex = Type.Object({
  index: Text,
  images: Count,
  bytes: Count,
  changed: Type.Boolean(),
  apps: Type.Optional(Type.Object({ added: ChangedApps, updated: ChangedApps, removed: ChangedApps })),
  seconds: Type.Number(),
  error: Type.Optional(Text),
  held: Held,
  warnings: Texts,
});

/** A rebuild over one registry. */
const SingleRebuild = Type.Object({
  id: Text,
  registry: Type.Optional(Type.String({ description: 'Absent for a rebuild over several registries.' })),
  reasons: Texts,
  otherReasons: Type.Integer({ description: 'How many more reasons there were.' }),
  scope: Type.Object({
    indexes: Type.Union([Type.Literal('all'), Texts]),
    repositories: Texts,
    more: Type.Optional(Count),
    acceptLosses: Type.Optional(Type.Boolean()),
  }),
  state: Type.Enum(['queued', 'running', 'done', 'failed']),
  queuedAt: Time,
  dueAt: Type.Optional(Time),
  startedAt: Type.Optional(Time),
  finishedAt: Type.Optional(Time),
  progress: Type.Optional(
    Type.Object({
      phase: Type.Enum(['scanning', 'rendering']),
      repositories: Progress,
      images: Progress,
      requests: Count,
    }),
  ),
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
});

/** A rebuild; one over several registries has a rebuild for each of them in `rebuilds`. */
export const RebuildAnswer = Type.Object({
  ...SingleRebuild.properties,
  rebuilds: Type.Optional(Type.Array(SingleRebuild)),
});
/** A rebuild as it is shown. */
export type RebuildAnswer = ResponseOf<typeof RebuildAnswer>;

/** Shows a rebuild, with its times in ISO 8601. */
export function rebuildView(rebuild: Rebuild): RebuildAnswer {
  const { rebuilds } = rebuild;
  return checkedResponse(RebuildAnswer, {
    ...singleView(rebuild),
    ...(rebuilds !== undefined && { rebuilds: rebuilds.map(singleView) }),
  });
}

function singleView(rebuild: Rebuild) {
  const { queuedAt, dueAt, startedAt, finishedAt, scope, rebuilds: _rebuilds, ...rest } = rebuild;
  return checkedResponse(SingleRebuild, {
    ...rest,
    scope: describeScope(scope),
    queuedAt: isoTime(queuedAt),
    ...(dueAt !== undefined && { dueAt: isoTime(dueAt) }),
    ...(startedAt !== undefined && { startedAt: isoTime(startedAt) }),
    ...(finishedAt !== undefined && { finishedAt: isoTime(finishedAt) }),
  });
}

/** Formats milliseconds since the epoch in ISO 8601. */
export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
