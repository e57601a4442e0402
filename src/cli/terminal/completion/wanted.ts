import type { Candidate } from './cache.js';
import type { NameKind } from './names.js';

/** What an argument or an option takes: names of a kind, and which of them. */
export interface Wanted {
  readonly kind: NameKind;
  readonly accepts?: (candidate: Candidate) => boolean;
}

const inState =
  (...states: readonly string[]) =>
  ({ state }: Candidate): boolean =>
    state !== undefined && states.includes(state);
const isOf =
  (kind: string) =>
  ({ name }: Candidate): boolean =>
    name.startsWith(`${kind}/`);
const all =
  (...rules: readonly ((candidate: Candidate) => boolean)[]) =>
  (candidate: Candidate): boolean =>
    rules.every((rule) => rule(candidate));
const not =
  (rule: (candidate: Candidate) => boolean) =>
  (candidate: Candidate): boolean =>
    !rule(candidate);

const isIncident = isOf('incident');
const waitsForPerson = inState(...['waiting-approval', 'waiting-worker', 'waiting-thaw', 'waiting-sign-off', 'paused']);
/** What never ends takes no decision. */
const isPermanent = (candidate: Candidate): boolean => isOf('watch')(candidate) || isOf('archive')(candidate);

/** Arguments by their command, where not all names of a kind are right: nothing is offered that would be refused. */
const byCommand: Readonly<Record<string, Wanted>> = {
  approve: { kind: 'operation', accepts: inState('waiting-approval') },
  reject: { kind: 'operation', accepts: all(waitsForPerson, not(isPermanent)) },
  promote: { kind: 'operation', accepts: all(isOf('recover'), inState('paused')) },
  retarget: { kind: 'operation', accepts: all(isOf('recover'), inState('paused')) },
  continue: { kind: 'operation', accepts: all(inState('paused'), not(isPermanent)) },
  pause: { kind: 'operation', accepts: all(isOf('recover'), not(inState('paused'))) },
  'incident confirm': { kind: 'operation', accepts: all(isIncident, inState('suspected')) },
  'incident dismiss': { kind: 'operation', accepts: all(isIncident, inState('suspected')) },
  'incident close': { kind: 'operation', accepts: isIncident },
  'incident note': { kind: 'operation', accepts: isIncident },
  'incident show': { kind: 'operation', accepts: isIncident },
  'incident report': {
    kind: 'operation',
    accepts: (one) => isIncident(one) || isOf('recover')(one) || isOf('table-repair')(one),
  },
  'backup show': { kind: 'backup' },
  'backup verify': { kind: 'backup', accepts: inState('complete') },
  'backup hold': { kind: 'backup', accepts: all(inState('complete'), ({ held }) => held !== true) },
  'backup release': { kind: 'backup', accepts: ({ held }) => held === true },
  'kept drop': { kind: 'kept' },
  'beside stop': { kind: 'beside', accepts: inState('running') },
  'beside drop': { kind: 'beside' },
  'sign-off': { kind: 'operation', accepts: inState('waiting-sign-off') },
  'drill show': { kind: 'drill' },
  'drill sign-off': { kind: 'drill', accepts: inState('waiting-sign-off') },
  'drill evidence': { kind: 'drill', accepts: inState('with-evidence') },
  'schedule pause': { kind: 'scheduled', accepts: inState('on') },
  'schedule resume': { kind: 'scheduled', accepts: inState('paused') },
  'schedule trigger': { kind: 'schedule' },
  'schedule backfill': { kind: 'schedule', accepts: inState('backup') },
  'explore show': { kind: 'operation', accepts: isOf('explore') },
  'explore connect': { kind: 'operation', accepts: isOf('explore') },
  'explore extend': { kind: 'operation', accepts: isOf('explore') },
  'explore retarget': { kind: 'operation', accepts: isOf('explore') },
  'explore drop': { kind: 'operation', accepts: isOf('explore') },
  'table release': { kind: 'cluster' },
  'media plan': { kind: 'media' },
  'media recover': { kind: 'media' },
  'media sync': { kind: 'media' },
  'media verify': { kind: 'media' },
};

const byArgument: Readonly<Record<string, Wanted>> = {
  cluster: { kind: 'cluster' },
  workflow: { kind: 'operation', accepts: not(isOf('notify')) },
  database: { kind: 'database' },
  table: { kind: 'table' },
  repository: { kind: 'repository' },
  contact: { kind: 'contact' },
};

const byOption: Readonly<Record<string, Wanted>> = {
  '--cluster': { kind: 'cluster' },
  '--incident': { kind: 'operation', accepts: isIncident },
  '--policy': { kind: 'policy' },
  '--engine': { kind: 'policy' },
  '--database': { kind: 'database' },
  '--table': { kind: 'table' },
  '--invariant': { kind: 'invariant' },
  '--host': { kind: 'host' },
  '--on': { kind: 'host' },
  '--notifier': { kind: 'notifier' },
  '--with-media': { kind: 'media' },
};

/** Of one argument of a command, named as it is typed (`backup hold`). */
export function wantedByArgument(path: readonly string[], argument: string): Wanted | undefined {
  const own = byCommand[path.join(' ')];
  return own !== undefined && ['id', 'name', 'workflow', 'what'].includes(argument) ? own : byArgument[argument];
}

export function wantedByOption(path: readonly string[], option: string): Wanted | undefined {
  // Media go to other media, or to a repository.
  if (option === '--into') return { kind: path[0] === 'media' ? 'media' : 'target' };
  return byOption[option];
}
