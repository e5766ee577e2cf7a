/** `/status`: the state of each index, of the rebuilds and of the bus. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { BusStatus } from '../../../triggers/bus/bus.ts';
import type { Rebuild } from '../../../triggers/rebuild.ts';
import { LISTED_BY } from '../../../registry/listed-by.ts';
import { checkedResponse, type ResponseOf } from '../../response-schema.ts';
import type { ServedIndex } from '../../documents/served-index.ts';
import type { Figures, RegistryNotifications } from '../../figures.ts';
import type { CurrentSite, DeltaStatus, SharedState, SiteRegistry } from '../../site.ts';
import { allowBearerToken } from '../../plugins/bearer-token.ts';
import { rateLimits } from '../../plugins/rate-limit.ts';
import { PublicView } from './public-view.ts';
import { Held, isoTime, RebuildAnswer, rebuildView } from './rebuild-view.ts';

/** How often the delay of the event loop is measured, in milliseconds. */
const DELAY_RESOLUTION = 20;
const WRONG_TOKENS_A_MINUTE = 10;

const Text = Type.String();
const Texts = Type.Array(Text);
const Count = Type.Integer({ minimum: 0 });
const Time = Type.String({ description: 'ISO 8601' });
const Messages = Type.Object({ triggered: Count, ignored: Count, malformed: Count });

const ReplicaStatus = Type.Object({
  name: Type.String({ description: 'Its host.' }),
  version: Text,
  configuration: Type.String({ description: 'Differs where the configurations would publish something else.' }),
  configuredAt: Time,
  startedAt: Time,
  seenAt: Type.String({ description: 'Its last sign of life, ISO 8601.' }),
  living: Type.Boolean({ description: 'Whether that was within the last seconds.' }),
  leads: Type.Boolean(),
  self: Type.Boolean({ description: 'Whether it gave this answer.' }),
});
const Sharing = Type.Object(
  {
    database: Type.Object({ available: Type.Boolean(), since: Time }),
    ledSince: Type.Optional(Time),
    lag: Type.Number({ description: 'For how long this replica has not served what the database has, in seconds.' }),
    notReady: Type.Optional(Text),
    replicas: Type.Array(ReplicaStatus),
  },
  { description: 'The replicas that share a database.' },
);

const ShownRegistry = Type.Optional(
  Type.String({ description: 'As clients know it; its address for administrators.' }),
);

const IndexStatus = Type.Object({
  name: Text,
  registry: ShownRegistry,
  file: Type.String({ description: 'The path of the whole index.' }),
  ready: Type.Boolean(),
  images: Type.Optional(Count),
  bytes: Type.Optional(Count),
  etag: Type.Optional(Type.String({ description: 'Changes when the content of the whole index does.' })),
  modified: Type.Optional(Time),
  held: Held,
  warnings: Type.Array(Text, { description: 'Warnings about its configuration and its images.' }),
  lastRebuild: Type.Optional(
    Type.Object({
      id: Text,
      state: Text,
      finishedAt: Time,
      seconds: Type.Number(),
      changed: Type.Optional(Type.Boolean()),
      warnings: Type.Optional(Texts),
      error: Type.Optional(Text),
    }),
  ),
});

const RegistryStatus = Type.Object({
  registry: ShownRegistry,
  indexes: Type.Array(Text, { description: 'Those that are made from it.' }),
  listedBy: Type.Enum(LISTED_BY, {
    description:
      'How its repositories are found: by its catalog, names in the configuration, in a folder, or an API of this kind.',
  }),
  notifications: Type.Object(
    { triggered: Count, last: Type.Optional(Time) },
    { description: 'Those to this replica since its start, for repositories that an index of the registry includes.' },
  ),
});

const Bus = Type.Object({
  state: Type.Enum(['connecting', 'connected', 'closed']),
  url: Type.Optional(Text),
  since: Time,
  destinations: Texts,
  messages: Messages,
  reconnects: Count,
  lastError: Type.Optional(Type.Object({ message: Text, at: Time })),
});

const Deltas = Type.Object({
  pending: Type.Integer({ minimum: 0, description: 'Deltas that are still to be made.' }),
  made: Type.Integer({ minimum: 0, description: 'Deltas that clients can use.' }),
  unsuitable: Type.Integer({ minimum: 0, description: 'Pairs of images for which a delta is of no use.' }),
  failed: Type.Integer({ minimum: 0, description: 'Deltas that are not tried again until the program changes.' }),
  bytes: Type.Integer({ minimum: 0, description: 'Size of those that were made.' }),
  saved: Type.Integer({ description: 'By how many bytes these are smaller than their layers.' }),
  stored: Type.Integer({ minimum: 0, description: 'Bytes in the store; withdrawn deltas stay for a while.' }),
  full: Type.Boolean({ description: 'Whether deltas wait until there is room for them.' }),
  making: Type.Optional(Type.Object({ repository: Text, target: Text })),
  lastError: Type.Optional(Type.Object({ message: Text, at: Time })),
});

/** The state of the service. */
export const StatusAnswer = Type.Object({
  version: Text,
  startedAt: Time,
  indexes: Type.Array(IndexStatus),
  registries: Type.Array(RegistryStatus),
  rebuilds: Type.Array(RebuildAnswer, { description: 'The newest first.' }),
  bus: Type.Union([Type.Null(), Bus]),
  events: Messages,
  deltas: Type.Optional(Deltas),
  sharing: Type.Optional(Sharing),
  eventLoopDelay: Type.Object(
    { p99: Type.Number(), max: Type.Number() },
    { description: 'Delay of the thread that answers requests, in milliseconds.' },
  ),
});
/** The state as `/status` shows it. */
export type StatusAnswer = ResponseOf<typeof StatusAnswer>;

/** Options of {@link statusRoutes}. */
export interface StatusRoutesOptions {
  readonly site: CurrentSite;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly figures: Figures;
}

/** Adds `/status`; anybody may see the state, and administrators where everything is. `server` must be a scope of its own. */
export async function statusRoutes(
  server: FastifyInstance,
  { site, version, startedAt, figures }: StatusRoutesOptions,
): Promise<void> {
  const isAdministrator = await allowBearerToken(server, {
    token: () => site().reindex.token,
    key: 'server.admin_token',
    wrongTokens: (await rateLimits(server, WRONG_TOKENS_A_MINUTE))(),
  });
  const eventLoopDelay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION });
  // Not earlier: the delay while the server starts does not matter to anybody.
  server.addHook('onReady', async () => {
    eventLoopDelay.enable();
  });
  server.addHook('onClose', async () => {
    eventLoopDelay.disable();
  });

  server.get(
    '/status',
    {
      schema: {
        summary: 'State of the service; with the admin token, also its hosts and errors',
        security: [{}, { token: [] }],
      },
      config: { answers: { 200: StatusAnswer } },
    },
    (request, reply) => {
      const current = site();
      const { status, indexes, basePath, rebuilds: queue, sharing } = current;
      const hiding = isAdministrator(request) ? undefined : new PublicView(current);
      const rebuilds = queue.recent();
      const bus = status.bus();
      const deltas = status.deltas();
      const warnings = status.warnings();
      const view = checkedResponse(StatusAnswer, {
        version,
        startedAt: isoTime(startedAt),
        indexes: [...indexes.values()].map((index) =>
          indexView(index, {
            registry: status.registryOf(index.name),
            warnings: warnings.get(index.name) ?? [],
            rebuilds,
            basePath,
            hiding,
          }),
        ),
        registries: status.registries.map((registry) =>
          registryView(registry, figures.notifications.get(registry.id), hiding),
        ),
        rebuilds: rebuilds.map((rebuild) => rebuildView(hiding?.rebuild(rebuild) ?? rebuild)),
        bus: bus === undefined ? null : busView(hiding?.bus(bus) ?? bus),
        events: figures.events,
        ...(deltas && { deltas: deltasView(hiding?.deltas(deltas) ?? deltas) }),
        ...(sharing && { sharing: sharingView(hiding?.sharing(sharing.state()) ?? sharing.state()) }),
        eventLoopDelay: {
          p99: beyondResolution(eventLoopDelay.percentile(99)),
          max: beyondResolution(eventLoopDelay.max),
        },
      });
      return reply.header('cache-control', 'no-store').send(view);
    },
  );
}

interface IndexViewOptions {
  /** The id of its registry. */
  readonly registry: string | undefined;
  readonly warnings: readonly string[];
  /** As administrators see them. */
  readonly rebuilds: readonly Rebuild[];
  readonly basePath: string;
  /** `undefined` for administrators. */
  readonly hiding: PublicView | undefined;
}

function indexView(index: ServedIndex, { registry: id, warnings, rebuilds, basePath, hiding }: IndexViewOptions) {
  const { shown } = index;
  const found = rebuilds.find((rebuild) => rebuild.registry === id && rebuild.finishedAt !== undefined);
  const last = found && (hiding?.rebuild(found) ?? found);
  const registry = hiding === undefined ? id : hiding.registry(id);
  const result = last?.result?.indexes.find((candidate) => candidate.index === index.name);
  const error = result?.error ?? last?.error;
  return checkedResponse(IndexStatus, {
    name: index.name,
    ...(registry !== undefined && { registry }),
    file: `${basePath}/index/${index.fileName}.json`,
    ready: shown !== undefined,
    warnings: [...new Set([...(hiding?.warnings(warnings) ?? warnings), ...(result?.warnings ?? [])])],
    ...(shown !== undefined && {
      images: shown.whole.images,
      bytes: shown.whole.length,
      etag: shown.whole.tag,
      modified: isoTime(shown.publication.modified),
    }),
    ...(result?.held && { held: result.held }),
    ...(last?.finishedAt !== undefined && {
      lastRebuild: {
        id: last.id,
        state: last.state,
        finishedAt: isoTime(last.finishedAt),
        seconds: (last.finishedAt - (last.startedAt ?? last.finishedAt)) / 1000,
        ...(result && { changed: result.changed, warnings: result.warnings }),
        ...(error !== undefined && { error }),
      },
    }),
  });
}

function registryView(
  { id, indexes, listedBy }: SiteRegistry,
  notified: RegistryNotifications | undefined,
  hiding: PublicView | undefined,
) {
  const registry = hiding === undefined ? id : hiding.registry(id);
  return checkedResponse(RegistryStatus, {
    ...(registry !== undefined && { registry }),
    indexes,
    listedBy,
    notifications: {
      triggered: notified?.triggered ?? 0,
      ...(notified && { last: isoTime(notified.last) }),
    },
  });
}

function sharingView({ store, ledSince, lag, notReady, replicas }: SharedState) {
  return checkedResponse(Sharing, {
    database: { available: store.available, since: isoTime(store.since) },
    ...(ledSince !== undefined && { ledSince: isoTime(ledSince) }),
    lag,
    ...(notReady !== undefined && { notReady }),
    replicas: replicas.map(({ configuredAt, startedAt, seenAt, ...replica }) => ({
      ...replica,
      configuredAt: isoTime(configuredAt),
      startedAt: isoTime(startedAt),
      seenAt: isoTime(seenAt),
    })),
  });
}

function deltasView({ lastError, making, ...rest }: DeltaStatus) {
  return checkedResponse(Deltas, {
    ...rest,
    ...(making && { making }),
    ...(lastError && { lastError: { ...lastError, at: isoTime(lastError.at) } }),
  });
}

function busView({ since, url, lastError, ...rest }: BusStatus) {
  return checkedResponse(Bus, {
    ...rest,
    ...(url !== undefined && { url }),
    since: isoTime(since),
    ...(lastError && { lastError: { ...lastError, at: isoTime(lastError.at) } }),
  });
}

/**
 * The measured time includes the interval between two measurements; in nanoseconds. Returns the delay in milliseconds.
 */
function beyondResolution(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 10_000) / 100 - DELAY_RESOLUTION);
}
