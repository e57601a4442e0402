/** No Docker daemon runs where the tests do: what would not fit together is found by reading the files. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { loadConfig } from '../../../src/config/load.js';
import { TEMPORAL_VERSION } from '../../../src/process/exec/find-programs.js';
import { tempDir } from '../../helpers/temp.js';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly init?: boolean;
  readonly pid?: string;
  readonly user?: string;
  readonly privileged?: boolean;
  readonly command?: readonly string[];
  readonly profiles?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly networks?: { readonly default: { readonly aliases: readonly string[] } };
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

const text = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
const compose = parse(await text('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const service = (name: string): Service => {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`there is no service ${name}`);
  return found;
};
const ours = services.filter(([, { build }]) => build !== undefined);
const dockerfile = instructions(await text('Dockerfile'));
const final = dockerfile.slice(dockerfile.findLastIndex(([name]) => name === 'FROM'));
const mounts = (name: string): [source: string, target: string][] =>
  (service(name).volumes ?? []).map((volume) => volume.split(':').slice(0, 2) as [string, string]);

/** Instructions of a Dockerfile with their arguments; continued lines are one. */
function instructions(source: string): [name: string, rest: string][] {
  const lines = source
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]);
}
const of = (name: string, stage = final): string[] => stage.filter(([found]) => found === name).map(([, rest]) => rest);
const environment = Object.fromEntries(
  of('ENV').flatMap((rest) => [...rest.matchAll(/(\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value])),
);

describe('Dockerfile', () => {
  it('starts from pinned Debian with Node 24, ends as another user than root, with an init', () => {
    for (const image of of('FROM', dockerfile)) expect(image).toMatch(/^node:24[\d.]*-bookworm-slim( AS \w+)?$/);
    expect(of('USER')).toEqual(['postgres']);
    expect(of('ENTRYPOINT')).toEqual(['["tini", "-s", "--"]']);
  });

  it('installs the tools of every engine, and makes no cluster that nobody asked for', () => {
    const [install = ''] = of('RUN').filter((rest) => rest.includes('apt-get'));
    for (const name of ['postgresql-15', 'postgresql-client-15', 'pgbackrest', 'age', 'tini'])
      expect(install.split(/\s+/)).toContain(name);
    expect(install.indexOf('create_main_cluster = false')).toBeGreaterThan(0);
    expect(install.indexOf('create_main_cluster = false')).toBeLessThan(install.indexOf('postgresql-15'));
  });

  it('copies only what is there and what .dockerignore lets through', async () => {
    const let_through = (await text('.dockerignore'))
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const sources = of('COPY', dockerfile)
      .filter((rest) => !rest.startsWith('--from'))
      .flatMap((rest) =>
        rest
          .split(' ')
          .filter((word) => !word.startsWith('--'))
          .slice(0, -1),
      );
    expect(sources.length).toBeGreaterThan(5);
    for (const source of sources) {
      await stat(join(root, source));
      expect([source, let_through.includes(source)]).toEqual([source, true]);
    }
  });

  it('makes every directory that is a volume, owned by its user', () => {
    const volumes = JSON.parse(of('VOLUME')[0] ?? '[]') as string[];
    const made = of('RUN')
      .join(' ')
      .split('&&')
      .filter((command) => command.includes('-o postgres'))
      .join(' ');
    for (const volume of volumes) expect(made.split(/\s+/)).toContain(volume);
  });
});

describe('docker-compose.yml', () => {
  it('pins every image by a tag, and ours is built here at the version of package.json', async () => {
    const { version } = JSON.parse(await text('package.json')) as { version: string };
    for (const [name, { image, build }] of services) {
      expect([name, image]).toEqual([name, expect.stringMatching(/^[\w./-]+:\d[\w.-]*$/)]);
      if (build !== undefined) expect(image).toBe(`reprise:${version}`);
    }
    expect(ours.map(([name]) => name)).toEqual(['postgres', 'worker']);
    expect(service('temporal-quick').image).toBe(`temporalio/temporal:${TEMPORAL_VERSION}`);
  });

  it('runs ours with an init, without rights, as the user of the image', () => {
    for (const [name, one] of ours) {
      expect([name, one]).toEqual([
        name,
        expect.objectContaining({
          init: true,
          cap_drop: ['ALL'],
          security_opt: ['no-new-privileges:true'],
          restart: 'unless-stopped',
        }),
      ]);
      expect([one.user, one.privileged]).toEqual([undefined, undefined]);
    }
  });

  it('commands of ours are in the image, and executable', async () => {
    const copied = of('COPY').join(' ');
    for (const [, { command }] of ours) {
      const path = `deploy/compose/${command?.[0]}`;
      expect(copied).toContain(path);
      expect((await stat(join(root, path))).mode & 0o111).toBe(0o111);
    }
  });

  it('mounts only volumes that are declared, files that are there, and all that the image declares for the worker', async () => {
    const declared = JSON.parse(of('VOLUME')[0] ?? '[]') as string[];
    const used = new Set<string>();
    for (const [name] of services) {
      for (const [source] of mounts(name)) {
        if (source.startsWith('./')) await stat(join(root, source));
        else used.add(source);
      }
    }
    expect([...used].sort()).toEqual(Object.keys(compose.volumes).sort());
    expect(declared.filter((path) => !mounts('worker').some(([, target]) => target === path))).toEqual([]);
    for (const [name] of ours)
      for (const [source, target] of mounts(name))
        expect([target, source.startsWith('./') || declared.includes(target)]).toEqual([target, true]);
  });

  it('D2: the worker shares processes, data, socket and repository with the server, and keeps its state in a volume', () => {
    expect(service('worker').pid).toBe('service:postgres');
    const shared = mounts('postgres');
    for (const mount of shared) expect(mounts('worker')).toContainEqual(mount);
    expect(
      mounts('worker')
        .filter((mount) => !shared.some((one) => one[1] === mount[1]))
        .map(([, target]) => target),
    ).toEqual(['/var/lib/reprise', environment['REPRISE_CONFIG']]);
  });

  it('publishes ports on this machine only, and none that its image does not have', () => {
    const exposed: Record<string, readonly string[]> = {
      'temporalio/server': ['7233'],
      'temporalio/ui': ['8080'],
      'temporalio/temporal': ['7233', '8233'],
      reprise: of('EXPOSE'),
    };
    const published = services.flatMap(([name, { ports = [], image }]) =>
      ports.map((port) => [name, image.split(':')[0] ?? '', ...port.split(':')] as const),
    );
    expect(published.length).toBeGreaterThan(4);
    for (const [name, image, address, , inside] of published)
      expect([name, address, exposed[image]]).toEqual([name, '127.0.0.1', expect.arrayContaining([inside])]);
  });

  it('waits only for services of the same profile, and for health only where there is a check', () => {
    for (const [name, { depends_on = {}, profiles }] of services) {
      for (const [wanted, { condition }] of Object.entries(depends_on)) {
        const other = service(wanted);
        if (other.profiles !== undefined) expect([name, profiles]).toEqual([name, other.profiles]);
        if (condition === 'service_healthy')
          expect([wanted, other.healthcheck?.test.length]).toEqual([wanted, expect.any(Number)]);
      }
    }
  });

  it('is whole in either profile: something answers at temporal:7233, and the Web UI where the config says', async () => {
    const config = await loadConfig({ file: join(root, 'deploy/compose/reprise.yml') });
    for (const profile of ['production', 'quick']) {
      const chosen = services.filter(([, { profiles }]) => profiles === undefined || profiles.includes(profile));
      const named = chosen.filter(
        ([name, { networks }]) => name === 'temporal' || networks?.default.aliases.includes('temporal'),
      );
      expect([profile, named.length]).toEqual([profile, 1]);
      const published = chosen.flatMap(([, { ports = [] }]) =>
        ports.map((port) => port.split(':').slice(0, 2).join(':')),
      );
      expect(new Set(published).size).toBe(published.length);
      expect(published).toContain(new URL(config.temporal.webUi).host);
    }
    expect(config.temporal.address).toBe('temporal:7233');
  });

  it('F39: passwords are files that git never sees; none stands in the file or in the environment it gives', async () => {
    const ignored = (await text('.gitignore')).split('\n');
    for (const [name, { file }] of Object.entries(compose.secrets)) {
      expect([name, ignored.some((line) => line !== '' && file.startsWith(`./${line}`))]).toEqual([name, true]);
    }
    expect(ignored).toContain('.env');
    for (const [, { environment: given = {}, secrets = [] }] of services) {
      for (const [variable, value] of Object.entries(given)) {
        if (/passw|pwd|secret|key/i.test(variable))
          expect([variable, value]).toEqual([
            expect.stringMatching(/_FILE$/),
            expect.stringMatching(/^\/run\/secrets\//),
          ]);
      }
      for (const secret of secrets) expect(Object.keys(compose.secrets)).toContain(secret);
    }
  });
});

describe('deploy/compose/reprise.yml', () => {
  it('names only paths that lie on mounts of the worker, and the host and the directory that the services have', async () => {
    const config = await loadConfig({ file: join(root, 'deploy/compose/reprise.yml') });
    const targets = mounts('worker').map(([, target]) => target);
    const lies = (path: string): boolean => targets.some((target) => path === target || path.startsWith(`${target}/`));
    const cluster = config.clusters['mairie'];
    const paths = [
      ...Object.values(config.hosts).map(({ stateDir }) => stateDir),
      ...Object.values(config.repositories).map(({ options }) => String(options['path'])),
      String(cluster?.policies['physical']?.options['config']),
      cluster?.dataDir ?? '',
      cluster?.connection.host ?? '',
    ];
    expect(paths.filter((path) => !lies(path))).toEqual([]);
    expect([cluster?.dataDir, cluster?.connection.host]).toEqual([environment['PGDATA'], environment['PGHOST']]);
    // A mount point cannot be renamed, and a recovery puts the old directory aside.
    expect(targets).not.toContain(cluster?.dataDir);
    expect(service('worker').command).toEqual(['reprise-worker', '--host', ...Object.keys(config.hosts)]);
    expect(cluster?.service).toMatchObject({
      kind: 'hook',
      start: [service('postgres').command?.[0], 'start'],
      stop: [service('postgres').command?.[0], 'stop'],
    });
  });

  it('agrees with pgbackrest.conf and the archive_command on stanza, directory and repository', async () => {
    const { clusters, repositories } = await loadConfig({ file: join(root, 'deploy/compose/reprise.yml') });
    const conf = await text('deploy/compose/pgbackrest.conf');
    const stanza = String(clusters['mairie']?.policies['physical']?.options['stanza']);
    expect(conf).toContain(`[${stanza}]`);
    expect(conf).toContain(`pg1-path=${clusters['mairie']?.dataDir}\n`);
    expect(conf).toContain(`repo1-path=${String(repositories['physical']?.options['path'])}\n`);
    expect(await text('deploy/compose/reprise-postgres')).toContain(`PGBACKREST_STANZA:-${stanza}}`);
  });
});

describe('deploy/compose/init', () => {
  it('makes a password once, keeps it, and chooses the profile', async () => {
    const copy = await tempDir('compose-init');
    await mkdir(join(copy, 'deploy/compose'), { recursive: true });
    await cp(join(root, 'deploy/compose/init'), join(copy, 'deploy/compose/init'));
    const init = (...argv: string[]) => run('/bin/sh', [join(copy, 'deploy/compose/init'), ...argv], { cwd: '/' });
    const secret = join(copy, 'deploy/compose/secrets/temporal_db_password');
    await init();
    const first = await readFile(secret, 'utf8');
    expect(first).toMatch(/^[0-9a-f]{48}$/);
    // Readable to the container's user, and out of reach of others here.
    expect([(await stat(secret)).mode & 0o777, (await stat(join(secret, '..'))).mode & 0o777]).toEqual([0o444, 0o700]);
    await init('quick');
    expect([await readFile(secret, 'utf8'), await readFile(join(copy, '.env'), 'utf8')]).toEqual([
      first,
      'COMPOSE_PROFILES=quick\n',
    ]);
    await expect(init('other')).rejects.toMatchObject({ code: 2 });
  });
});
