/** `/api/apps`: the apps of an index, and the details of one. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import type { AppDetails } from '../../indexing/appdata/app-details.ts';
import { LINK_KINDS, type Translations } from '../../indexing/appdata/appdata.ts';
import { type AppEntry, versionOfIcon } from '../../indexing/appdata/app-list.ts';
import { decodePngUri, isPngUri } from '../../indexing/icons/png-uri.ts';
import { isAppId } from '../../indexing/appdata/flatpak-image.ts';
import { messageOf } from '../../system/message-of.ts';
import type { Described } from '../response-schema.ts';
import type { AcceptEncoding } from '../http/accept-encoding.ts';
import { IMMUTABLE, isFresh } from '../http/caching.ts';
import { indexNamed, type ServedApp, type ServedIndex } from '../documents/served-index.ts';
import { catchUpFirst } from '../plugins/catch-up.ts';
import { sendServed } from '../documents/send.ts';
import { NotBuiltYet, NotFound } from '../server-error.ts';
import type { CurrentSite } from '../site.ts';
import { best } from './indexes.ts';

/** Options of {@link apiRoutes}. */
export interface ApiRoutesOptions {
  readonly site: CurrentSite;
  readonly acceptEncoding: AcceptEncoding;
}

const Text = Type.String();
const Texts = Type.Array(Text);
const Kind = Type.Enum(['app', 'runtime', 'extension']);
const About = {
  id: Text,
  kind: Kind,
  name: Text,
  summary: Text,
  developer: Text,
  keywords: Texts,
  categories: Type.Array(Text, { description: 'Main categories of the desktop menu specification.' }),
  icon: Type.String({ description: 'Relative to /INDEX/index/static; empty if there is none.' }),
  endOfLife: Type.String({ description: 'Why the app gets no more updates; empty if it is maintained.' }),
  replacedBy: Type.String({ description: 'The ref that replaces it; empty if there is none.' }),
};
const Spans = Type.Array(Type.Union([Text, Type.Object({ kind: Type.Enum(['em', 'code']), text: Text })]));
const Blocks = Type.Array(
  Type.Union([
    Type.Object({ kind: Type.Literal('paragraph'), text: Spans }),
    Type.Object({ kind: Type.Enum(['list', 'numbered']), entries: Type.Array(Spans) }),
  ]),
);
const Updated = Type.String({ description: 'ISO 8601: when the newest image was built; empty if unknown.' });
const Pixels = Type.Integer({ description: 'Pixels; 0 if unknown.' });
const AppSummary = Type.Object({
  ...About,
  architectures: Texts,
  tags: Texts,
  updated: Updated,
  added: Type.String({
    description: 'ISO 8601: when the index first had it; empty if it did from its first list of apps on.',
  }),
  changed: Type.String({
    description: 'ISO 8601: when its images or tags last changed in the index; empty if not since its first list.',
  }),
});
const AppList = Type.Object({ index: Text, apps: Type.Array(AppSummary) });
const App = Type.Object({
  ...About,
  license: Type.String({ description: 'An SPDX license expression.' }),
  licenseName: Type.String({ description: 'The license in words.' }),
  homepage: Text,
  links: Type.Array(Type.Object({ kind: Type.Enum([...LINK_KINDS]), url: Text })),
  description: Blocks,
  releases: Type.Array(Type.Object({ version: Text, date: Text, notes: Blocks, url: Text })),
  screenshots: Type.Array(
    Type.Object({
      caption: Text,
      images: Type.Array(
        Type.Object({
          kind: Type.Enum(['source', 'thumbnail']),
          src: Type.String({ description: 'Relative to /INDEX/index/static.' }),
          width: Pixels,
          height: Pixels,
        }),
        { description: 'The smallest first.' },
      ),
    }),
    { description: 'The default one first.' },
  ),
  ageRating: Type.Union([
    Type.Null(),
    Type.Object({
      age: Type.Integer({ description: 'The lowest age in years; 0 for everybody.' }),
      reasons: Type.Array(Type.Object({ id: Text, level: Type.Enum(['mild', 'moderate', 'intense']), text: Text })),
    }),
  ]),
  languages: Type.Array(Text, { description: 'BCP 47 tags of the translations.' }),
  updated: Updated,
  safety: Type.Enum(['safe', 'probably-safe', 'potentially-unsafe']),
  runtime: Type.String({ description: 'ID/ARCHITECTURE/BRANCH of the runtime, or of what an extension extends.' }),
  permissions: Type.Array(
    Type.Object({
      kind: Type.Enum(['network', 'files', 'devices', 'sockets', 'bus', 'features']),
      text: Text,
      dangerous: Type.Boolean(),
    }),
  ),
  images: Type.Array(
    Type.Object({
      repository: Text,
      tags: Texts,
      digest: Text,
      architecture: Text,
      ref: Text,
      branch: Text,
      runtime: Type.String({ description: 'ID/ARCHITECTURE/BRANCH of the runtime, or of what an extension extends.' }),
      runtimeRepo: Type.String({
        description: 'URL of a .flatpakrepo that has the runtime, as the image says; empty if it does not.',
      }),
      installedSize: Type.Integer({ description: 'Bytes; 0 if unknown.' }),
      downloadSize: Type.Integer({ description: 'Bytes; 0 if unknown.' }),
      built: Text,
      updates: Type.Array(
        Type.Object({
          from: Type.String({ description: 'The version that it leads from; empty if unknown.' }),
          size: Type.Integer({ description: 'Bytes.' }),
        }),
        { description: 'Deltas, which clients download instead of all of it.' },
      ),
    }),
  ),
});
const AppTranslations = Type.Record(
  Text,
  Type.Object({
    name: Type.Optional(Text),
    summary: Type.Optional(Text),
    developer: Type.Optional(Text),
    keywords: Type.Optional(Texts),
    description: Type.Optional(Blocks),
    notes: Type.Optional(Type.Array(Blocks.items, { description: 'Notes of the newest release.' })),
    captions: Type.Optional(Type.Array(Text, { description: 'Of the screenshots, in their order.' })),
  }),
  { description: 'Texts by BCP 47 tag; without those that are not translated.' },
);
/** An answer of `/api/apps`. */
export type AppListAnswer = Described<typeof AppList, { readonly index: string; readonly apps: readonly AppEntry[] }>;
/** An answer of `/api/apps/:id`. */
export type AppAnswer = Described<typeof App, AppDetails>;
/** An answer of `/api/apps/:id/translations`. */
export type TranslationsAnswer = Described<typeof AppTranslations, Translations>;

const Parameters = Type.Object(
  { index: Type.Optional(Type.String({ description: 'Name of an index; the default index if absent.' })) },
  { additionalProperties: false },
);
type Asked = Static<typeof Parameters>;
type AppRequest = { Querystring: Asked; Params: { id: string } };
const IconParameters = Type.Object(
  {
    ...Parameters.properties,
    version: Type.Optional(
      Type.String({ description: 'As in the list of apps; the answer may then be cached forever.' }),
    ),
  },
  { additionalProperties: false },
);

/** Adds the routes that the page reads apps from. */
export function apiRoutes(server: FastifyInstance, { site, acceptEncoding }: ApiRoutesOptions): void {
  const asked = ({ index }: Asked): ServedIndex => {
    const { indexes, defaultIndex } = site();
    return indexNamed(indexes, index ?? defaultIndex);
  };
  const preHandler = catchUpFirst(site);
  const preferences = (request: FastifyRequest) => acceptEncoding.preferences(request.headers['accept-encoding']);

  server.route<{ Querystring: Asked }>({
    method: ['GET', 'HEAD'],
    url: '/api/apps',
    schema: { summary: 'Apps of an index', querystring: Parameters, response: { 200: AppList } },
    preHandler,
    handler: (request, reply) => {
      const index = asked(request.query);
      const apps = index.apps();
      if (apps === undefined) throw new NotBuiltYet(index.name);
      return sendServed(request, reply, best(apps, preferences(request)));
    },
  });

  server.get<{ Querystring: Static<typeof IconParameters>; Params: { id: string } }>(
    '/api/apps/:id/icon',
    {
      schema: {
        summary: 'Icon of an app that is part of the index, as a PNG',
        params: Type.Object({ id: Text }),
        querystring: IconParameters,
        produces: ['image/png'],
      },
      preHandler,
    },
    async (request, reply) => {
      const index = asked(request.query);
      const { id } = request.params;
      const details = isAppId(id) ? (await index.app(id))?.details : undefined;
      if (details === undefined || !isPngUri(details.icon))
        throw new NotFound(`The index "${index.name}" has no icon of an app "${id}".`);
      const version = versionOfIcon(details.icon);
      const etag = `"${version}"`;
      reply.headers({ etag, 'cache-control': request.query.version === version ? IMMUTABLE : 'no-cache' });
      if (isFresh(request.headers, etag)) return reply.code(304).send();
      return reply.type('image/png').send(pngOf(details.icon));
    },
  );

  const found = async ({ params: { id }, query }: FastifyRequest<AppRequest>): Promise<ServedApp> => {
    const index = asked(query);
    const app = isAppId(id) ? await index.app(id) : undefined;
    if (app === undefined) throw new NotFound(`The index "${index.name}" has no app "${id}".`);
    return app;
  };

  server.route<AppRequest>({
    method: ['GET', 'HEAD'],
    url: '/api/apps/:id',
    schema: {
      summary: 'Details of an app',
      params: Type.Object({ id: Text }),
      querystring: Parameters,
      response: { 200: App },
    },
    preHandler,
    handler: async (request, reply) =>
      sendServed(request, reply, best(await (await found(request)).document(), preferences(request))),
  });

  server.route<AppRequest>({
    method: ['GET', 'HEAD'],
    url: '/api/apps/:id/translations',
    schema: {
      summary: 'Texts of an app in other languages',
      params: Type.Object({ id: Text }),
      querystring: Parameters,
      response: { 200: AppTranslations },
    },
    preHandler,
    handler: async (request, reply) =>
      sendServed(request, reply, best(await (await found(request)).translationsDocument(), preferences(request))),
  });
}

/**
 * Decodes a `data:` URI of an icon.
 * @throws NotFound if it is not a PNG
 */
function pngOf(icon: string): Buffer {
  try {
    return decodePngUri(icon);
  } catch (error) {
    throw new NotFound(`The icon of this app is not a PNG: ${messageOf(error)}.`);
  }
}
