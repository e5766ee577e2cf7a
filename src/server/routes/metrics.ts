/** `/metrics`: metrics for Prometheus. */
import type { FastifyInstance } from 'fastify';
import { Counter, Gauge, Registry } from 'prom-client';
import type { StoreSize } from '../../store/store.ts';
import type { BusStatus } from '../../triggers/bus/bus.ts';
import type { ServedIndex } from '../documents/served-index.ts';
import type { CurrentSite, SharedState, Site } from '../site.ts';
import type { Figures, RequestFigures } from '../figures.ts';

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST']);

/** Options of {@link metricsRoutes}. */
export interface MetricsRoutesOptions {
  readonly site: CurrentSite;
  readonly version: string;
  readonly figures: Figures;
}

/** Adds `/metrics`. */
export function metricsRoutes(server: FastifyInstance, { site, version, figures }: MetricsRoutesOptions): void {
  server.get(
    '/metrics',
    { schema: { summary: 'Metrics for Prometheus', produces: ['text/plain'] } },
    async (_request, reply) => {
      const { indexes, status, storeSizes, sharing } = site();
      const registry = new Registry();
      new Gauge({
        name: 'regindexer_build_info',
        help: 'Version of the service as a label; always 1.',
        labelNames: ['version'],
        registers: [registry],
      }).set({ version }, 1);
      indexMetrics(indexes, registry);
      storeMetrics(await storeSizes(), registry);
      if (sharing) sharingMetrics(sharing.state(), registry);
      eventMetrics(figures, status.bus(), registry);
      return reply
        .headers({ 'content-type': registry.contentType, 'cache-control': 'no-store' })
        .send(`${await figures.metrics()}\n${await registry.metrics()}`);
    },
  );
}

/** Counts the answers of routes that are registered from here on. */
export function countRequests(server: FastifyInstance, figures: RequestFigures): void {
  server.addHook('onResponse', ({ routeOptions, method }, reply, done) => {
    // The pattern of the route, not the path: labels must be few.
    figures.count(
      routeOptions.url ?? 'none',
      METHODS.has(method) ? method : 'other',
      reply.statusCode,
      reply.elapsedTime / 1000,
    );
    done();
  });
}

function indexMetrics(indexes: Site['indexes'], registry: Registry): void {
  const gauge = (name: string, help: string, value: (index: ServedIndex) => number | undefined): void => {
    const metric = new Gauge({ name, help, labelNames: ['index'] as const, registers: [registry] });
    for (const index of indexes.values()) {
      const current = value(index);
      if (current !== undefined) metric.set({ index: index.name }, current);
    }
  };
  gauge('regindexer_index_ready', '1 if the index can be served, else 0.', ({ shown }) => Number(shown !== undefined));
  gauge('regindexer_index_images', 'Images in the index.', ({ shown }) => shown?.whole.images);
  gauge('regindexer_index_apps', 'Apps, runtimes and extensions in the index.', ({ appPages }) => appPages?.total);
  gauge('regindexer_index_size_bytes', 'Uncompressed size of the index.', ({ shown }) => shown?.whole.length);
  gauge(
    'regindexer_index_last_change_timestamp_seconds',
    'Time of the last change of the index.',
    ({ shown }) => shown && shown.publication.modified / 1000,
  );
}

function storeMetrics(sizes: readonly StoreSize[], registry: Registry): void {
  const gauge = (name: string, help: string): Gauge<'part'> =>
    new Gauge({ name, help, labelNames: ['part'] as const, registers: [registry] });
  const size = gauge('regindexer_store_size_bytes', 'Size of a part of the store, without its write-ahead log.');
  const log = gauge(
    'regindexer_store_log_size_bytes',
    'Size of the write-ahead log of a part of the store; stays below 16 MiB unless a read takes long.',
  );
  for (const { part, ...of } of sizes) {
    if (of.size !== undefined) size.set({ part }, of.size);
    if (of.log !== undefined) log.set({ part }, of.log);
  }
}

function sharingMetrics({ store, leads, lag, replicas }: SharedState, registry: Registry): void {
  const gauge = (name: string, help: string, value: number): void =>
    new Gauge({ name, help, registers: [registry] }).set(value);
  gauge('regindexer_store_available', '1 while the database can be reached, else 0.', Number(store.available));
  gauge('regindexer_leader', '1 if this replica leads, else 0.', Number(leads));
  gauge(
    'regindexer_replicas',
    'Replicas that have shown a sign of life lately.',
    replicas.filter(({ living }) => living).length,
  );
  gauge(
    'regindexer_replica_lag_seconds',
    'For how long the database has had something that this replica does not serve yet.',
    lag,
  );
}

function eventMetrics({ queries, events }: Figures, bus: BusStatus | undefined, registry: Registry): void {
  counter(
    'regindexer_query_answers_total',
    'Answers to queries, by cache hit or miss.',
    'cache',
    { hit: queries.hits, miss: queries.misses },
    registry,
  );
  counter('regindexer_events_total', 'Notifications from registries, by result.', 'result', { ...events }, registry);
  if (bus === undefined) return;
  new Gauge({
    name: 'regindexer_bus_connected',
    help: '1 while the message bus is connected, else 0.',
    registers: [registry],
  }).set(Number(bus.state === 'connected'));
  counter(
    'regindexer_bus_messages_total',
    'Messages from the bus, by result.',
    'result',
    { ...bus.messages },
    registry,
  );
  new Counter({
    name: 'regindexer_bus_reconnects_total',
    help: 'Reconnections to the bus.',
    registers: [registry],
  }).inc(bus.reconnects);
}

/** Registers a counter with counts from elsewhere. */
function counter(
  name: string,
  help: string,
  labelName: string,
  counts: Readonly<Record<string, number>>,
  registry: Registry,
): void {
  const metric = new Counter({ name, help, labelNames: [labelName], registers: [registry] });
  for (const [label, count] of Object.entries(counts)) metric.inc({ [labelName]: label }, count);
}
