# One image for every part of the system (worker, Ray node, MLflow, Prefect's server, the endpoint's deployment, any
# `rossmann` command): the command says which. How it is built and tried: README, "In containers".
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
WORKDIR /app
COPY pyproject.toml requirements.lock ./
# What runs, in the lock's versions; the lock's packages for development are not asked for and so not installed.
# The secret, if there is one, is shell variables that pip and uv need to reach a registry of yours (PIP_…, UV_…).
RUN --mount=type=secret,id=registry \
    set -a && if [ -f /run/secrets/registry ]; then . /run/secrets/registry; fi && \
    python3.11 -m venv /uv && /uv/bin/pip install --no-cache-dir "$(grep '^uv==' requirements.lock)" && \
    /uv/bin/uv venv --no-cache --python "$(command -v python3.11)" /opt/rossmann && \
    /uv/bin/uv pip install --no-cache --python /opt/rossmann --requirements pyproject.toml --constraints requirements.lock && \
    find /opt/rossmann -regextype posix-extended -type d \
        -regex '.*/site-packages/(matplotlib|numpy|pandas|pyarrow|scipy|sklearn|statsmodels)/(.*/)?tests' -prune -exec rm -r {} + && \
    /opt/rossmann/bin/python -m compileall -q /opt/rossmann
COPY LICENSE README.md prefect.yaml ./
COPY deployments deployments
COPY flows flows
COPY rossmann rossmann
# Editable: prefect.yaml's entrypoints and deployments/ lie beside the one copy of the code. What a world in a bucket keeps on
# its machine goes to data/ there.
RUN --mount=type=secret,id=registry \
    set -a && if [ -f /run/secrets/registry ]; then . /run/secrets/registry; fi && \
    /uv/bin/uv pip install --no-cache --python /opt/rossmann --no-deps --editable . && \
    /opt/rossmann/bin/python -m compileall -q flows rossmann && \
    ln --symbolic /data data

FROM ${PYTHON_IMAGE}
# LightGBM's OpenMP. Its version is the base image's matter: Debian keeps only the newest of a release.
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* && \
    useradd --uid 10001 --create-home rossmann && install --directory --owner rossmann /data
COPY --from=builder /opt/rossmann /opt/rossmann
COPY --from=builder /app /app
WORKDIR /app
USER 10001
ENV PATH=/opt/rossmann/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ROSSMANN_DATA_DIR=/data \
    PREFECT_SERVER_ANALYTICS_ENABLED=false RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 \
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false \
    HEALTH_URL=http://127.0.0.1:8000/health
VOLUME /data
# What is healthy depends on the command: HEALTH_URL names the address that tells; by itself the endpoint's.
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import os; from urllib.request import *; build_opener(ProxyHandler({})).open(os.environ['HEALTH_URL'], timeout=5)"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rossmann" \
      org.opencontainers.image.description="Six-week daily sales forecasts for every store" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
CMD ["rossmann", "--help"]
