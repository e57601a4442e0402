/** How a worker names itself to Temporal: who it is, since when, and with which version and configuration it works. */
export interface WorkerIdentity {
  /** `pid@machine`. */
  readonly worker: string;
  /** Of the package; null for a worker of a version that did not say it. */
  readonly version: string | null;
  /** First 12 digits of the configuration's digest. */
  readonly config: string;
  /** UTC ISO-8601. */
  readonly since: string;
}

/** Digits of a configuration's digest that people see. */
export const shortConfig = (digest: string): string => digest.slice(0, 12);

/** The name as everybody sees it who lists a queue's pollers, the Web UI too. */
export function formatIdentity({ worker, version, config, since }: WorkerIdentity): string {
  return `${worker}${version === null ? '' : ` version:${version}`} config:${config} since:${since}`;
}

/** Null for the name of a worker of an older version, or of another program. */
export function parseIdentity(text: string): WorkerIdentity | null {
  const [, worker = '', version = null, config = '', since = ''] =
    /^(\S+)(?: version:(\S+))? config:([0-9a-f]{12}) since:(\S+Z)$/.exec(text) ?? [];
  return worker === '' ? null : { worker, version, config, since };
}
