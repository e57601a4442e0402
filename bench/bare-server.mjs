import { join } from 'node:path';

/** A server that is thrown away, by the tools alone: reached by its socket, with fsync off as Reprise's. */
export class BareServer {
  #lab;
  #isThere = false;

  constructor(lab, dataDir) {
    this.#lab = lab;
    this.dataDir = dataDir;
    const { root, staging, connection } = lab.scratch;
    this.connection = { host: root, port: staging.port, user: connection.user, maintenanceDatabase: 'postgres' };
    if (dataDir.endsWith('again')) this.connection.port += 1;
  }

  /** Files of the newest backup, by pgBackRest; `target` are its options of where the replay pauses. */
  async restoreFiles(...target) {
    await this.#lab.as('mkdir', '-m', '700', this.dataDir);
    const settings = [...target, '--target-action=pause', '--archive-mode=off'];
    await this.#lab.pgbackrest(`--pg1-path=${this.dataDir}`, ...settings, 'restore');
  }

  /** A dump, by pg_restore, in a fresh cluster, with statistics. */
  async restoreDump(dump, database) {
    if (!this.#isThere) {
      await this.#lab.as(
        join(this.#lab.scratch.pgBin, 'initdb'),
        ...[
          '--pgdata',
          this.dataDir,
          '--username',
          this.connection.user,
          '--auth=trust',
          '--no-sync',
          '--encoding=UTF8',
        ],
      );
      await this.start();
    }
    await this.tool('createdb', ['--template=template0', database]);
    await this.tool('pg_restore', ['--jobs=1', `--dbname=${database}`, dump]);
    await this.tool('vacuumdb', ['--analyze-only', '--quiet', database]);
  }

  async start() {
    this.#isThere = true;
    const { host, port } = this.connection;
    const own = `-p ${port} -k ${host} -c listen_addresses= -c archive_mode=off -c fsync=off -c hba_file=${await this.#hba()}`;
    await this.#pgCtl('start', '-w', '-t', '3600', '-l', `${this.dataDir}.log`, '-o', own);
  }

  async #hba() {
    const file = `${this.dataDir}.hba`;
    await this.#lab.as('sh', '-c', 'echo "local all all trust" > "$1"', 'sh', file);
    return file;
  }

  async remove() {
    if (this.#isThere) await this.#pgCtl('stop', '-m', 'immediate').catch(() => undefined);
    const { dataDir } = this;
    await this.#lab.as('rm', '-rf', dataDir, `${dataDir}.log`, `${dataDir}.hba`, `${dataDir}.dump`);
  }

  #pgCtl(command, ...more) {
    return this.#lab.as(join(this.#lab.scratch.pgBin, 'pg_ctl'), command, '-s', '-D', this.dataDir, ...more);
  }

  tool(name, args) {
    const { host, port, user } = this.connection;
    return this.#lab.tool(name, args, { PGHOST: host, PGPORT: String(port), PGUSER: user });
  }
}
