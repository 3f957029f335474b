"""Shared memory, disks and the clock."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flows.cli.doctor.findings import OK, WARNING, WRONG, Finding, Surroundings

RAY_SHARE = 0.3  # of the available memory: what Ray takes for its objects by default
MIN_SHARED_BYTES = 10_000_000
LOW_DISK_BYTES = 2_000_000_000  # a retraining of 1,115 stores with its snapshots and models fits many times
MIN_DISK_BYTES = 200_000_000
MAX_SKEW_S = 60
MIN_YEAR = 2025  # of a clock that is set
SCHEDULE_ZONE = "Europe/Berlin"  # of prefect.yaml


def shared_memory(_: Surroundings, folder: str = "/dev/shm") -> Iterator[Finding]:
    """Ray's objects are in shared memory; where it is too small, on a disk."""
    if not os.path.isdir(folder):
        yield Finding(
            "shared memory", WARNING, f"there is no {folder}", "Ray will use /tmp, which is slow; mount a tmpfs there"
        )
        return
    yield judge_shared_memory(folder, shutil.disk_usage(folder).free, available_memory())


def judge_shared_memory(folder: str, free_bytes: float, memory_bytes: float) -> Finding:
    """A full one breaks programs; one that is smaller than what Ray asks for makes it slow."""
    text = f"{folder}: {_gigabytes(free_bytes)} are free"
    if free_bytes < MIN_SHARED_BYTES:
        return Finding("shared memory", WRONG, text, f"it is full: end what uses it, or delete old files in {folder}")
    if free_bytes < RAY_SHARE * memory_bytes:
        needed = RAY_SHARE * memory_bytes
        remedy = f"in a container, give it more by --shm-size={needed / 1e9:.0f}g"
        advice = f"Ray wants {_gigabytes(needed)} and will use /tmp, which is slow; {remedy}"
        return Finding("shared memory", WARNING, text, advice)
    return Finding("shared memory", OK, text)


def available_memory() -> float:
    """Bytes of memory that processes can still get; 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0.0)


def disk(surroundings: Surroundings) -> Iterator[Finding]:
    """The workspace and the folder of temporary files can be written and have space."""
    for name, folder in (("the workspace", surroundings.workspace), ("temporary files", tempfile.gettempdir())):
        parent = existing_parent(folder)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
            advice = "make it writable, or choose another one by " + (
                "ROSSMANN_DATA_DIR" if folder == surroundings.workspace else "TMPDIR"
            )
            yield Finding("disk", WRONG, f"{parent} cannot be written ({name})", advice)
        else:
            yield judge_disk(name, folder, shutil.disk_usage(parent).free)


def judge_disk(name: str, folder: str, free_bytes: float) -> Finding:
    """Flows do not start with a full disk; a little space is a warning."""
    text = f"{_gigabytes(free_bytes)} are free for {name}, {folder}"
    if free_bytes < MIN_DISK_BYTES:
        return Finding(
            "disk", WRONG, text, "free some space; `rossmann sweep --dry-run` lists what a workspace no longer needs"
        )
    if free_bytes < LOW_DISK_BYTES:
        return Finding(
            "disk", WARNING, text, "free some space soon; `rossmann sweep --dry-run` lists what is no longer needed"
        )
    return Finding("disk", OK, text)


def existing_parent(folder: str) -> str:
    """The folder, or the nearest one above it that exists."""
    path = Path(folder).absolute()
    return str(next(each for each in (path, *path.parents) if each.exists()))


def clock(surroundings: Surroundings) -> Iterator[Finding]:
    """The clock is set, agrees with the file system's, and the time zone of the schedules is installed."""
    now = time.time()
    time_text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if time.gmtime(now).tm_year < MIN_YEAR:
        yield Finding("clock", WRONG, f"the clock says {time_text}", "set it (timedatectl set-ntp true)")
        return
    yield from time_zone(surroundings.environment.get("TZ", ""))
    yield judge_skew("the disk of the workspace", file_time(existing_parent(surroundings.workspace)), now, time_text)
    try:
        from zoneinfo import ZoneInfo

        ZoneInfo(SCHEDULE_ZONE)
    except Exception as error:  # a missing module, or missing data, by several errors
        text = f"the time zone {SCHEDULE_ZONE} of the schedules is missing ({type(error).__name__})"
        yield Finding("clock", WRONG, text, "install the time zones, on Debian: apt-get install tzdata")


def time_zone(name: str) -> Iterator[Finding]:
    """TZ is empty, a time zone of this machine, or a rule like CET-1CEST. The system takes UTC for anything else."""
    from zoneinfo import ZoneInfo

    if not name or re.match(r"(<[\w+-]+>|[A-Za-z]{3,})[+-]?\d", name) or os.path.exists(name.removeprefix(":")):
        return
    with suppress(OSError, ValueError, KeyError):  # ZoneInfo's errors for what is not there, and for what cannot be
        ZoneInfo(name.removeprefix(":"))
        return
    text = f"TZ={name} is no time zone of this machine: some programs take UTC for it, others fail"
    yield Finding("clock", WARNING, text, "set it like TZ=Europe/Berlin, or unset it")


def judge_skew(place: str, place_time: float | None, now: float, time_text: str = "") -> Finding:
    """Times are seconds since 1970. `place_time` is None where the place could not be asked."""
    zone = f"local time is UTC{time.strftime('%z')}; the project uses UTC" if time_text else ""
    if place_time is None or abs(place_time - now) <= MAX_SKEW_S:
        agreement = f"{place} agrees" if place_time is not None else f"{place} was not asked"
        return Finding("clock", OK, "; ".join(filter(None, [time_text, zone, agreement])))
    direction = "ahead of" if place_time > now else "behind"
    text = f"the clock of {place} is {abs(place_time - now):,.0f} s {direction} this machine's"
    return Finding(
        "clock", WRONG, text, "synchronise both (timedatectl set-ntp true): S3 and tokens refuse wrong times"
    )


def file_time(folder: str) -> float | None:
    """The time that the file system gives a new file; a network disk has a clock of its own. None: not writable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.0f} MB"
