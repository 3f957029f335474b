#!/usr/bin/env bash
# Start compose.yaml unchanged, with podman-compose, on a machine without a Docker engine and an image registry, as root:
#   deployments/verify-image.sh FOLDER && deployments/verify-compose.sh FOLDER
# Our own image is the one that verify-image.sh has built in FOLDER. Two other images are replaced under their own names by
# equivalents that can be built here: PostgreSQL 15 of Debian for postgres:17, moto's S3 server for MinIO. podman's health checks
# need systemd, and bookworm's podman cannot wait for them. So this script starts the services in the order of depends_on and
# runs each health check itself.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

build_postgres() {
    cat >"$work/substitute/entry" <<'END'
#!/bin/sh
set -e
export PGDATA=/var/lib/postgresql/data PGPASSWORD="$POSTGRES_PASSWORD"
if [ ! -s $PGDATA/PG_VERSION ]; then
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb --encoding=UTF8 --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256
    echo 'host all all all scram-sha-256' >>$PGDATA/pg_hba.conf
    pg_ctl --wait start -o "-k /tmp -c listen_addresses=''"
    createdb --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql --host=/tmp --username="$POSTGRES_USER" --set=ON_ERROR_STOP=1 --file="$file" "$POSTGRES_DB"
    done
    pg_ctl --wait stop
fi
exec postgres -k /tmp -c 'listen_addresses=*'
END
    chmod +x "$work/substitute/entry"
    build_substitute docker.io/library/postgres:17-bookworm <<'END'
FROM docker.io/library/python:3.11-slim-bookworm
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends postgresql-15 && \
    install --directory --owner postgres --mode 700 /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY entry /entry
USER postgres
ENTRYPOINT ["/entry"]
END
}

build_objects() {
    printf '#!/bin/sh\nexec python3.11 -c "from urllib.request import urlopen; urlopen(\x27http://127.0.0.1:9000/moto-api/\x27)"\n' >"$work/substitute/mc"
    chmod +x "$work/substitute/mc"
    build_substitute docker.io/minio/minio:RELEASE.2025-09-07T16-13-09Z \
        --secret "id=registry,src=$work/registry.env" --volume /etc/ssl/certs:/etc/ssl/certs:ro <<'END'
FROM docker.io/library/python:3.11-slim-bookworm
COPY requirements.lock mc /
RUN --mount=type=secret,id=registry set -a && . /run/secrets/registry && python3.11 -m venv /moto && \
    /moto/bin/pip install --quiet --constraint /requirements.lock 'moto[server]' && mv /mc /usr/local/bin
ENTRYPOINT ["sh", "-c", "exec /moto/bin/moto_server -H 0.0.0.0 -p 9000"]
END
}

build_substitute() { # name, build options; the Dockerfile on standard input
    buildah inspect --type image "$1" >/dev/null 2>&1 && return
    cat >"$work/substitute/Dockerfile"
    cp "$here/requirements.lock" "$work/substitute"
    buildah bud --isolation chroot --network host --pull-never --layers=false --format docker --tag "$@" "$work/substitute" \
        >"$work/substitute.log" 2>&1 || { tail -40 "$work/substitute.log" >&2; exit 1; }
}

container() { podman ps --all --quiet --latest --filter "label=com.docker.compose.service=$1"; }

start() { # services, in parallel; returns when they are healthy or, if they run once, have ended with code 0
    podman-compose "${file[@]}" up --detach --no-deps "$@" >>"$work/compose.log" 2>&1
    for service in "$@"; do
        case $service in
            bucket | deploy | serve) [ "$(timeout 600 podman wait "$(container "$service")")" = 0 ] ;;
            *) timeout 300 sh -c "until podman healthcheck run $(container "$service") >/dev/null 2>&1; do sleep 2; done" ;;
        esac || { podman logs --tail 40 "$(container "$service")" >&2; echo "$service is not healthy" >&2; return 1; }
        echo "${SECONDS} s: $service"
    done
}

try_stack() { # in namespaces of its own
    umount -R /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 none /sys/fs/cgroup
    ip link set lo up
    rm -rf "$work/tmp" # state of an earlier run that was killed
    podman rm --all --force >/dev/null && podman volume rm --all --force >/dev/null
    sed "s/=\$/=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')/" "$here/deployments/compose.env.example" >"$work/compose.env"
    key=$(sed -n 's/^ROSSMANN_API_KEYS=//p' "$work/compose.env")
    file=(--env-file "$work/compose.env" --file "$here/deployments/compose.yaml")

    start postgres objects
    start bucket
    start mlflow prefect
    start ray-head
    start ray-worker worker
    start deploy serve
    worker=$(container worker)
    podman exec "$worker" rossmann sample --stores 20 --out /tmp/raw
    podman exec "$worker" prefect deployment run retrain/retrain-weekly --param raw=/tmp/raw --param folds=2 --param 'candidates=["ridge"]' --watch ||
        { podman logs --tail 60 "$worker" >&2; return 1; }
    echo "$SECONDS s: retrained"
    podman exec "$worker" rossmann models
    curl --silent --show-error --fail http://127.0.0.1:8000/predict -H "X-API-Key: $key" \
        -d '{"store": 1, "date": "2015-08-03", "promo": true}'
    echo
    podman exec "$(container ray-head)" sh -c 'cat /proc/[0-9]*/comm' | grep -x haproxy
    podman ps --format '{{.Names}} {{.Status}}'
    free --mega | sed -n 2p
}

if [ "${1:-}" = --inside ]; then
    work=$2
    trap 'podman-compose "${file[@]}" down --volumes --timeout 5 >>"$work/compose.log" 2>&1 || true' EXIT
    try_stack
    exit
fi
export PATH=$here/.venv/bin:$PATH
command -v podman-compose >/dev/null || { echo "podman-compose is missing: make install" >&2; exit 2; }
work=$(cd "${1:?the folder of verify-image.sh}" && pwd)
export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf
mkdir -p "$work/substitute"
build_postgres
build_objects
time unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside "$work"
