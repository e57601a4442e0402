import type { HostDependencies, RepositoryUser, ToolPlace } from '../activities/dependencies.js';
import type { Config, RepositoryConfig } from '../domain/config.js';
import { acceptCommand, placeOfTool, toolRepository } from '../domain/storage/repository-identity.js';
import { runProgram } from '../process/exec/run-program.js';
import { resolveSecret } from '../process/exec/secrets.js';
import type { OsUser } from '../process/jobs/jobs.js';
import { knownRepositories } from '../records/known-repositories.js';
import type { IdentityCheck } from '../records/repository-identity.js';
import { guardStorage, identityCheck } from '../records/repository-identity.js';
import { openDescribed, openStorage } from '../storage/open-storage.js';
import { storageKinds } from '../storage/registry.js';
import type { WritableStorage } from '../storage/storage.js';

/** A bucket cannot be unmounted: it is enough to look now and then whether it is the right one. */
const BUCKET_TRUSTED_MS = 300_000;

type Opening = Pick<HostDependencies, 'openStorage' | 'openDescribed' | 'identities'>;

/** A repository with the check that goes before all its calls. */
interface Opened {
  readonly storage: WritableStorage;
  readonly identity: IdentityCheck | null;
}

/** Opens repositories on a host, each only as the one that the host knows. */
export function repositoriesOf(config: Config, host: string): Opening {
  const known = knownRepositories(config.hosts[host]?.stateDir ?? '');
  // One handle a repository, owner and cluster: the catalogue remembers what it has read.
  const open = new Map<string, Opened>();
  const tools = new Map<string, IdentityCheck>();

  const opened = (repository: RepositoryConfig, owner: OsUser | null, user?: RepositoryUser): Opened => {
    const key = JSON.stringify([repository.name, owner?.uid, user?.cluster]);
    const found = open.get(key) ?? openChecked(repository, owner, user);
    open.set(key, found);
    return found;
  };

  function openChecked(repository: RepositoryConfig, owner: OsUser | null, user?: RepositoryUser): Opened {
    const how = { secret: resolveSecret, ...(owner ? { owner } : {}) };
    const kind = storageKinds[repository.type];
    if (kind === undefined || !(kind.onHost || holdsBackups(config, repository.name)))
      return { storage: openStorage(repository, how), identity: null };
    const storage = openStorage(repository, { ...how, existing: true });
    const identity = identityCheck({
      name: repository.name,
      called: `repository ${repository.name}`,
      where: kind.place(repository.options),
      accept: acceptCommand(repository.name),
      storage,
      makeRoot: async () => void openStorage(repository, how),
      isOurs: true,
      known,
      recorded: user?.recorded,
      trustedForMs: kind.onHost ? 0 : BUCKET_TRUSTED_MS,
    });
    return { storage: guardStorage(storage, identity), identity };
  }

  const describedStorage: HostDependencies['openDescribed'] = ({ type, values, secrets }, owner) =>
    openDescribed(type, values, {
      existing: true,
      ...(owner ? { owner } : {}),
      secret: (reference) => resolveSecret(reference, { env: secrets, run: runProgram }),
    });

  function checkTool(
    { cluster, policy, storage: described, owner, recorded }: ToolPlace,
    where: string,
  ): IdentityCheck {
    const { type, values } = described;
    const onHost = storageKinds[type]?.onHost === true;
    return identityCheck({
      name: toolRepository(cluster, policy.name),
      called: `repository of policy ${policy.name} of ${cluster}`,
      where,
      accept: acceptCommand(policy.repository),
      storage: describedStorage(described, owner),
      makeRoot: async () => {
        if (onHost) openDescribed(type, values, { secret: resolveSecret, ...(owner ? { owner } : {}) });
      },
      known,
      recorded,
      trustedForMs: onHost ? 0 : BUCKET_TRUSTED_MS,
    });
  }

  return {
    openStorage: (repository, owner, user) => opened(repository, owner, user).storage,
    openDescribed: describedStorage,
    identities: {
      ofRepository: (repository, owner) => opened(repository, owner).identity,
      ofTool: (place) => {
        const where = placeOfTool(place.storage);
        const key = JSON.stringify([place.cluster, place.policy.name, place.owner?.uid, where]);
        const check = tools.get(key) ?? checkTool(place, where);
        tools.set(key, check);
        return check;
      },
    },
  };
}

/** Media alone are other people's files, often in a public bucket: nothing is put beside them there. */
function holdsBackups({ clusters }: Config, repository: string): boolean {
  return Object.values(clusters).some(
    ({ catalogue, policies }) =>
      catalogue === repository || Object.values(policies).some((policy) => policy.repository === repository),
  );
}
