#!/usr/bin/env bash
# Build the image and run it, on a Debian machine without a Docker engine and without an image registry, as root:
#   deployments/verify-image.sh [FOLDER]     base image and image stay in FOLDER for the next run; without it they are removed
# The base image is a substitute: Debian bookworm with its Python 3.11.2 in /usr/bin, under the name of python:3.11-slim-bookworm
# (which has the newest 3.11 in /usr/local). PIP_… and UV_… of the environment are a build secret and do not get into the image.
# Containers run in namespaces of their own (network, processes, mounts), which end with the script.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
base=docker.io/library/python:3.11-slim-bookworm

check_tools() {
    for program in buildah podman crun catatonit debootstrap netavark iptables curl; do
        command -v "$program" >/dev/null || [ -x "/usr/lib/podman/$program" ] || {
            echo "$program is missing: apt-get install --no-install-recommends buildah podman crun catatonit debootstrap" \
                "netavark aardvark-dns iptables curl" >&2
            exit 2
        }
    done
    [ "$(id -u)" = 0 ] || { echo "debootstrap and namespaces need root" >&2; exit 2; }
}

configure() { # folders of podman and buildah, and options to run without systemd
    driver=overlay
    mkdir -p "$work"/{a,b,c,d}
    mount -t overlay none -o "lowerdir=$work/a,upperdir=$work/b,workdir=$work/c" "$work/d" && umount "$work/d" || driver=vfs
    rm -rf "$work"/{a,b,c,d}
    printf '[storage]\ndriver = "%s"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' $driver "$work" "$work" >"$work/storage.conf"
    cat >"$work/containers.conf" <<END
[containers]
cgroups = "disabled"
init_path = "/usr/bin/catatonit"
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$work/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
END
    { env | grep -E '^(PIP|UV)_' || true; } | sed "s/=\(.*\)/='\1'/" >"$work/registry.env"
    echo "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt" >>"$work/registry.env"
}

make_base() {
    buildah inspect --type image "$base" >/dev/null 2>&1 && return
    rm -rf "$work/debian"
    debootstrap --variant=minbase --include=ca-certificates,python3.11,python3-distutils,python3.11-venv \
        bookworm "$work/debian" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/debootstrap.log" ||
        { tail "$work/debootstrap.log" "$work/debian/debootstrap/debootstrap.log" >&2; exit 1; }
    rm -rf "$work"/debian/var/{cache/apt/archives/*.deb,lib/apt/lists/*}
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/debian" / >/dev/null
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --format docker --rm "$container" "$base"
    rm -rf "$work/debian"
}

build() {
    buildah bud --isolation chroot --network host --pull-never --layers=false --format docker \
        --secret "id=registry,src=$work/registry.env" --volume /etc/ssl/certs:/etc/ssl/certs:ro \
        --build-arg "REVISION=$(git -C "$here" rev-parse HEAD)" --tag rossmann "$here" >"$work/build.log" 2>&1 ||
        { tail -40 "$work/build.log" >&2; exit 1; }
    buildah images --format '{{.Name}} {{.Size}}' rossmann
}

try_image() { # in namespaces of its own
    umount -R /sys/fs/cgroup 2>/dev/null || true
    mount -t cgroup2 none /sys/fs/cgroup
    ip link set lo up
    rm -rf "$work/tmp" # state of an earlier run that was killed
    rm -rf "$work/workspace"
    install --directory --owner 10001 "$work/workspace"
    run="podman run --init --shm-size 1g --volume $work/workspace:/data"

    $run --rm --no-healthcheck rossmann | grep -q retrain
    $run --rm --no-healthcheck rossmann sh -c '[ "$(id -u)" = 10001 ] && ! command -v gcc make uv pytest && ! touch /app/new 2>&-'
    $run --rm --no-healthcheck rossmann sh -c \
        'rossmann sample --stores 20 && rossmann retrain --folds 2 --candidates ridge && rossmann monitor'

    $run --detach --name endpoint --publish 127.0.0.1:8000:8000 -e ROSSMANN_HTTP_HOST=0.0.0.0 -e ROSSMANN_API_KEYS=try-me \
        -e ROSSMANN_SERVE_ADDRESS=http://127.0.0.1:8265 -e RAY_AUTH_MODE=token -e RAY_AUTH_TOKEN=only-for-this-trial-0123456789abcdef \
        rossmann sh -c '. deployments/serve.env && exec ray start --head --block --num-cpus 2'
    timeout 120 sh -c 'until podman logs endpoint 2>&1 | grep -q "runtime started"; do sleep 1; done'
    podman exec endpoint rossmann serve
    podman healthcheck run endpoint && echo healthy
    podman exec endpoint sh -c 'cat /proc/[0-9]*/comm' | grep -x haproxy
    curl --silent --show-error --fail http://127.0.0.1:8000/predict -H 'X-API-Key: try-me' \
        -d '{"store": 1, "date": "2015-08-03", "promo": true}'
    echo
    podman rm --force --time 1 endpoint >/dev/null
}

if [ "${1:-}" = --inside ]; then
    work=$2
    try_image
    exit
fi
check_tools
work=${1:-$(mktemp -d)}
[ $# = 1 ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work" && work=$(cd "$work" && pwd)
configure
export CONTAINERS_STORAGE_CONF=$work/storage.conf CONTAINERS_CONF=$work/containers.conf
time make_base
time build
time unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside "$work"
