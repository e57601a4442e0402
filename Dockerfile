# One image for a database host: the worker, and the PostgreSQL server whose tools it uses, of the same versions.
# Debian 12 has what is tested: PostgreSQL 15, pgBackRest 2.45, age 1.1.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
RUN bash scripts/build && npm prune --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim
# The number is fixed: it owns the files in the volumes, over all later images.
RUN groupadd --system --gid 999 postgres \
  && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/sh postgres
RUN apt-get update \
  && apt-get install -y --no-install-recommends postgresql-common \
  && sed -ri 's/^#?\s*create_main_cluster\s*=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
  && apt-get install -y --no-install-recommends postgresql-15 postgresql-client-15 pgbackrest age tini \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /build/package.json /opt/reprise/
COPY --from=build /build/node_modules /opt/reprise/node_modules
COPY --from=build /build/dist /opt/reprise/dist
COPY bin /opt/reprise/bin
COPY examples /opt/reprise/examples
COPY deploy/compose/reprise-postgres deploy/compose/reprise-worker /usr/local/bin/
# A new volume takes owner and mode from here.
RUN ln -s /opt/reprise/bin/reprise /usr/local/bin/reprise \
  && install -d -m 0755 /etc/reprise /etc/pgbackrest \
  && install -d -m 0700 -o postgres -g postgres /var/lib/reprise /var/backups/reprise \
  && install -d -m 0755 -o postgres -g postgres /var/lib/postgresql /run/postgresql

ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2 \
    NODE_OPTIONS=--max-semi-space-size=8 \
    PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PGDATA=/var/lib/postgresql/15/main \
    PGHOST=/run/postgresql \
    REPRISE_CONFIG=/etc/reprise/reprise.yml
USER postgres
# Data; jobs, plans and approvals; backups; the server's socket.
VOLUME ["/var/lib/postgresql", "/var/lib/reprise", "/var/backups/reprise", "/run/postgresql"]
EXPOSE 5432
STOPSIGNAL SIGTERM
# Collects what jobs leave behind (-s: also where it is not process 1), and passes signals on.
ENTRYPOINT ["tini", "-s", "--"]
CMD ["reprise-worker"]
