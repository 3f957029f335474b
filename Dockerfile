# One image for every part of the system (Prefect's worker and server, Ray nodes, MLflow, every `rossmann` command); the
# container's command decides which part it is. deployments/verify-image.sh builds and tries it.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
WORKDIR /app
COPY pyproject.toml requirements.lock ./
# The dependencies in the locked versions, without those for development. The optional secret contains shell variables that pip
# and uv need for a package registry of your own (PIP_…, UV_…).
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
# Editable, so that prefect.yaml, deployments/ and the code are in one place. A workspace in a bucket has local files in data/.
RUN --mount=type=secret,id=registry \
    set -a && if [ -f /run/secrets/registry ]; then . /run/secrets/registry; fi && \
    /uv/bin/uv pip install --no-cache --python /opt/rossmann --no-deps --editable . && \
    /opt/rossmann/bin/python -m compileall -q flows rossmann && \
    ln --symbolic /data data

FROM ${PYTHON_IMAGE}
# OpenMP for LightGBM, not pinned: Debian's archive has only the newest version of a release.
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
    PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_SERVER_UI_V2_ENABLED=false RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 \
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false \
    HEALTH_URL=http://127.0.0.1:8000/health
VOLUME /data
# HEALTH_URL depends on the container's command; the default is the endpoint's.
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=4 \
    CMD ["python", "-c", "import os; from urllib.request import *; build_opener(ProxyHandler({})).open(os.environ['HEALTH_URL'], timeout=5)"]
ARG VERSION=0.6.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="rossmann" \
      org.opencontainers.image.description="Six-week daily sales forecasts for every store" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
CMD ["rossmann", "--help"]
