import type { ServiceConfig } from '../../domain/config.js';
import { hookService } from './service-hook.js';
import type { ServiceKind, ServicePlace } from './service-kind.js';
import { pgCtlService } from './service-pg-ctl.js';
import { pgCtlClusterService } from './service-pg-ctlcluster.js';

/** The kind of service that the configuration names, for one data directory. */
export function serviceKind(config: ServiceConfig, place: ServicePlace): ServiceKind {
  switch (config.kind) {
    case 'pg_ctl':
      return pgCtlService(place);
    case 'pg_ctlcluster':
      return pgCtlClusterService(config);
    case 'hook':
      return hookService(config, place);
  }
}
