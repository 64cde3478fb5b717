# Images of the workers in Python, one target for each kind and framework:
#   docker build -f deploy/docker/worker.Dockerfile --target conversion-worker .
# They hold a base with Python 3.11, the packages of one hash-pinned lock, and our sources. No shell is needed to run
# them, the root file system may be read-only: /tmp and /data are written, /run/millrace holds keys.

# Debian 12 with glibc, pinned by digest where images are published: BASE_IMAGE=debian@sha256:...
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim
# requirements-torch-cpu.txt where the CPU build of PyTorch can be found, see WHEELS_IMAGE.
ARG TORCH_LOCK=requirements-torch.txt
# An image with a folder /wheels of further packages; their hashes are in the locks.
ARG WHEELS_IMAGE=scratch

FROM ${BASE_IMAGE} AS python
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/apt /var/log/*.log

FROM python AS tools
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv
COPY infra/embedded/requirements.txt /locks/tools.txt
# The secret `ca` is a file of certificates, for networks that look into TLS.
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/pip \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /tools \
 && PIP_CACHE_DIR=/cache/pip /tools/bin/pip install --disable-pip-version-check --no-input --require-hashes \
      --only-binary :all: -r /locks/tools.txt

FROM ${WHEELS_IMAGE} AS wheels

FROM tools AS installer
ENV UV_CACHE_DIR=/cache/uv UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH SOURCE_DATE_EPOCH=0
COPY deploy/docker/worker/install-python.sh /tools/

FROM installer AS training-packages
COPY services/training-worker/requirements.txt /locks/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/uv sh /tools/install-python.sh /locks/requirements.txt

FROM installer AS training-gpu-packages
COPY services/training-worker/requirements-gpu.txt /locks/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/uv sh /tools/install-python.sh /locks/requirements-gpu.txt

FROM installer AS training-torch-packages
ARG TORCH_LOCK
COPY services/training-worker/requirements-torch.txt services/training-worker/requirements-torch-cpu.txt /locks/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/uv --mount=type=bind,from=wheels,target=/from \
    sh /tools/install-python.sh "/locks/${TORCH_LOCK}"

FROM installer AS conversion-packages
COPY services/conversion-worker/requirements.txt /locks/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/uv sh /tools/install-python.sh /locks/requirements.txt

FROM installer AS analysis-packages
COPY services/analysis-worker/requirements.txt /locks/
RUN --mount=type=secret,id=ca --mount=type=cache,target=/cache/uv sh /tools/install-python.sh /locks/requirements.txt

FROM python AS worker
ARG VERSION=0.0.0
RUN echo 'millrace:x:10001:10001:Millrace:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'millrace:x:10001:' >> /etc/group \
 && install -d -m 700 -o 10001 -g 10001 /data /run/millrace
COPY LICENSE /app/
COPY deploy/docker/worker /app/deploy/docker/worker
COPY libs/worker-py/src /app/libs/worker-py/src
WORKDIR /data
ENV HOME=/tmp PATH=/opt/venv/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TMPDIR=/data MILLRACE_WORKER_CACHE_DIR=/data/cache MILLRACE_WORKER_POOL=cpu
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["/opt/venv/bin/python", "/app/deploy/docker/worker/healthcheck.py", "/run/millrace/worker.env"]
LABEL org.opencontainers.image.vendor="Millrace" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

FROM worker AS training-worker-base
COPY services/training-worker/src /app/services/training-worker/src
ENV PYTHONPATH=/app/libs/worker-py/src:/app/services/training-worker/src
ENTRYPOINT ["/opt/venv/bin/python", "/app/deploy/docker/worker/start_worker.py", "/run/millrace/worker.env", "millrace_training.worker"]

FROM training-worker-base AS training-worker
LABEL org.opencontainers.image.title="millrace/training-worker" \
      org.opencontainers.image.description="Trains by recipes of Keras and TensorFlow on the CPU, and makes datasets."
COPY --from=training-packages /opt/venv /opt/venv
COPY services/training-worker/requirements.txt /app/services/training-worker/

FROM training-worker-base AS training-worker-gpu
LABEL org.opencontainers.image.title="millrace/training-worker-gpu" \
      org.opencontainers.image.description="Trains by recipes of Keras and TensorFlow on an NVIDIA GPU."
COPY --from=training-gpu-packages /opt/venv /opt/venv
COPY services/training-worker/requirements-gpu.txt /app/services/training-worker/
ENV MILLRACE_WORKER_POOL=gpu NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM training-worker-base AS training-worker-torch
LABEL org.opencontainers.image.title="millrace/training-worker-torch" \
      org.opencontainers.image.description="Trains by recipes of PyTorch."
COPY --from=training-torch-packages /opt/venv /opt/venv
COPY services/training-worker/requirements-torch.txt services/training-worker/requirements-torch-cpu.txt /app/services/training-worker/
ENV MILLRACE_WORKER_POOL=torch

FROM worker AS conversion-worker
LABEL org.opencontainers.image.title="millrace/conversion-worker" \
      org.opencontainers.image.description="Converts models to ONNX and TFLite, quantises, compares with the original."
COPY --from=conversion-packages /opt/venv /opt/venv
COPY services/conversion-worker/requirements.txt /app/services/conversion-worker/
COPY services/conversion-worker/src /app/services/conversion-worker/src
ENV PYTHONPATH=/app/libs/worker-py/src:/app/services/conversion-worker/src
ENTRYPOINT ["/opt/venv/bin/python", "/app/deploy/docker/worker/start_worker.py", "/run/millrace/worker.env", "millrace_conversion.worker"]

FROM worker AS analysis-worker
LABEL org.opencontainers.image.title="millrace/analysis-worker" \
      org.opencontainers.image.description="Ingests datasets and reports on their quality."
COPY --from=analysis-packages /opt/venv /opt/venv
COPY services/analysis-worker/requirements.txt /app/services/analysis-worker/
COPY services/analysis-worker/src /app/services/analysis-worker/src
ENV PYTHONPATH=/app/libs/worker-py/src:/app/services/analysis-worker/src MILLRACE_WORKER_POOL=analysis
ENTRYPOINT ["/opt/venv/bin/python", "/app/deploy/docker/worker/start_worker.py", "/run/millrace/worker.env", "millrace_analysis.worker"]
