import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { suite, test } from 'node:test';
import { Deployment, StatefulSet } from 'kubernetes-models/apps/v1';
import { Ingress, type IIngress } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1';
import { ConfigMap, Secret, Service, type IService } from 'kubernetes-models/v1';
import { parse, parseAllDocuments } from 'yaml';
import { version } from '../../src/system/version.ts';
import { runRegindexer } from '../peers/regindexer.ts';

const FOLDER = resolve(import.meta.dirname, '../../deploy/kubernetes');
const MODELS = { ConfigMap, Deployment, Ingress, PodDisruptionBudget, Secret, Service, StatefulSet };

interface Manifest {
  readonly apiVersion: string;
  readonly kind: keyof typeof MODELS;
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

/** The manifests in a file, read as YAML 1.1, as the API server does. */
async function manifestsIn(name: string): Promise<readonly Manifest[]> {
  return parseAllDocuments(await readFile(join(FOLDER, name), 'utf8'), { version: '1.1' }).map(
    (document) => document.toJS() as Manifest,
  );
}

/** Wraps `value` so that reading a value removes its path from `unread`. */
function recording<T>(value: T, path: string, unread: Set<string>): T {
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.entries(value).map(([key, child]) => [key, recording(child, `${path}/${key}`, unread)]);
  for (const [key] of copy) unread.add(`${path}/${key}`);
  return new Proxy(Array.isArray(value) ? copy.map(([, child]) => child as unknown) : Object.fromEntries(copy), {
    get: (target, key, receiver) => {
      unread.delete(`${path}/${String(key)}`);
      return Reflect.get(target, key, receiver) as unknown;
    },
  }) as T;
}

for (const [file, workload, empty] of [
  ['regindexer.yaml', 'StatefulSet', ['admin_token_file', 'events_token_file']],
  ['replicas.yaml', 'Deployment', ['store_password_file', 'admin_token_file', 'events_token_file']],
] as const) {
  const manifests = await manifestsIn(file);
  const found = (kind: Manifest['kind']): Manifest =>
    manifests.find((manifest) => manifest.kind === kind) ?? assert.fail(`no ${kind}`);

  suite(file, () => {
    for (const manifest of manifests) {
      test(`the ${manifest.kind} follows the schema of Kubernetes`, () => {
        // The schemas accept unknown keys: those are the ones that remain unread.
        const unread = new Set<string>();
        const model = Object.setPrototypeOf(recording(manifest, '', unread), MODELS[manifest.kind].prototype) as {
          validate(): void;
        };
        model.validate();
        assert.deepEqual([...unread], []);
      });
    }

    test('its pods run the version that is here', () => {
      const [image] = JSON.stringify(found(workload)).match(/(?<="image":")[^"]+/) ?? [];
      assert.equal(image, `regindexer:${version}`);
    });

    test('the ingress leads from the host of base_url to the service', () => {
      const config = parse(found('ConfigMap').data?.['config.yaml'] ?? '') as {
        readonly server: { base_url: string };
      };
      const ingress = found('Ingress') as IIngress;
      const service = found('Service') as IService;
      const { host } = new URL(config.server.base_url);
      assert.deepEqual(ingress.spec?.tls?.[0]?.hosts, [host]);
      assert.equal(ingress.spec?.rules?.[0]?.host, host);
      assert.deepEqual(ingress.spec?.rules?.[0]?.http?.paths[0]?.backend.service, {
        name: service.metadata?.name,
        port: { name: service.spec?.ports?.[0]?.name },
      });
    });

    test('the configuration is valid with secrets, and not without', async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'regindexer-kubernetes-'));
      const data = found('ConfigMap').data?.['config.yaml'] ?? assert.fail('no configuration');
      const secrets = found('Secret').stringData ?? assert.fail('no secrets');
      const config = join(folder.path, 'config.yaml');
      await writeFile(
        config,
        data
          .replaceAll('/run/secrets/regindexer', folder.path)
          .replaceAll('/var/lib/regindexer', join(folder.path, 'state')),
      );
      const check = () => runRegindexer(['-c', config, 'check']);
      for (const [name, secret] of Object.entries(secrets)) await writeFile(join(folder.path, name), secret);
      const refused = await check();
      assert.equal(refused.code, 2);
      for (const key of empty) assert.match(refused.stderr, new RegExp(`${key}.*is empty`));
      for (const name of Object.keys(secrets)) await writeFile(join(folder.path, name), `one-long-${name}`);
      const { code, stdout, stderr } = await check();
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stdout, /^Warning/m);
    });
  });
}
