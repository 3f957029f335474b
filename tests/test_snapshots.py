"""Versions of the history are named by their content, never change, and are complete or absent."""

import json
import os
import signal
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from rossmann.data import (
    SalesHistory,
    current_snapshot,
    describe_snapshot,
    list_snapshots,
    load_snapshot,
    read_history,
    restore_snapshot,
    save_snapshot,
)
from rossmann.validation import DataError
from tests.support.raw_files import raw_files
from tests.support.stores import BUCKET

NOON, ONE_OCLOCK = datetime(2014, 4, 1, 12), datetime(2014, 4, 1, 13)
FINGERPRINT = "70fda8e50d2487fa"  # of raw_files(), on any machine
FIRST, MANIFEST, CURRENT = 0, 3, 4  # numbers of the writes of a snapshot: days, plan, stores, manifest, current


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> SalesHistory:
    return read_history(raw_files().write(tmp_path_factory.mktemp("raw"))).history


@pytest.fixture
def earlier(history) -> SalesHistory:
    return history.until(history.origin - 7)


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "snapshots")


def assert_same(one, other):
    """All arrays of two histories are equal, with the same types."""
    pairs = [(one, other), (one.stores, other.stores), (one.calendar, other.calendar)]
    for a, b in pairs:
        for name, values in vars(a).items():
            if isinstance(values, np.ndarray):
                np.testing.assert_array_equal(values, getattr(b, name), err_msg=name)
                assert values.dtype == getattr(b, name).dtype, name


def test_the_fingerprint_is_the_same_on_any_machine(history):
    assert history.fingerprint == FINGERPRINT


@pytest.mark.parametrize("part", ["sales", "promo2_months", "school holiday in the plan"])
def test_the_fingerprint_changes_with_any_cell(part, history, tmp_path):
    files = raw_files()
    if part == "sales":
        files.train.loc[7, "Sales"] += 1
    elif part == "promo2_months":
        files.store.loc[1, "PromoInterval"] = "Jan,Apr,Jul,Nov"
    else:
        files.test.loc[9, "SchoolHoliday"] = 1 - files.test.loc[9, "SchoolHoliday"]
    assert read_history(files.write(tmp_path)).history.fingerprint != FINGERPRINT


def test_a_snapshot_is_loaded_as_it_was_saved(history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw")
    assert fingerprint == history.fingerprint
    assert_same(load_snapshot(root), history)
    assert load_snapshot(root, fingerprint[:4]).fingerprint == fingerprint


def test_gaps_and_unknown_attributes_are_loaded_as_they_were_saved(noisy, root):
    save_snapshot(noisy, root, NOON, "raw")
    assert_same(load_snapshot(root), noisy)
    assert load_snapshot(root).fingerprint == noisy.fingerprint


def test_the_same_content_is_not_written_again_but_becomes_current(history, earlier, root):
    first = save_snapshot(history, root, NOON, "raw")
    save_snapshot(earlier, root, ONE_OCLOCK, "raw", date(2014, 3, 9))
    files = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in Path(root, first).iterdir()}
    assert save_snapshot(history, root, ONE_OCLOCK, "elsewhere") == first
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in Path(root, first).iterdir()} == files
    assert current_snapshot(root) == first


def test_snapshots_are_listed_with_date_rows_origin_and_parent(history, earlier, root):
    old = save_snapshot(earlier, root, NOON, "here", date(2014, 3, 9))
    new = save_snapshot(history, root, ONE_OCLOCK, "there")
    first, second = list_snapshots(root)
    assert (first.fingerprint, first.created, first.rows, first.stores) == (old, "2014-04-01T12:00:00", 4 * 63, 4)
    assert (first.first_day, first.origin, first.plan_end) == ("2014-01-06", "2014-03-09", "2014-04-26")
    assert (first.parent, first.source, first.as_of, first.current) == (None, "here", "2014-03-09", False)
    assert (second.fingerprint, second.parent, second.as_of, second.current) == (new, old, None, True)


def test_restoring_makes_an_older_snapshot_the_current_one_and_the_next_ones_parent(history, earlier, root):
    old = save_snapshot(earlier, root, NOON, "raw")
    save_snapshot(history, root, NOON, "raw")
    assert restore_snapshot(root, old[:5]) == old
    assert current_snapshot(root) == old
    assert_same(load_snapshot(root), earlier)
    third = save_snapshot(history.until(history.origin - 3), root, ONE_OCLOCK, "raw")
    assert next(s.parent for s in list_snapshots(root) if s.fingerprint == third) == old


def test_first_characters_that_two_snapshots_share_are_refused(history, root):
    fingerprints = [save_snapshot(history.until(history.origin - k), root, NOON, "raw") for k in range(17)]
    first = next(a[0] for a in fingerprints if sum(b[0] == a[0] for b in fingerprints) > 1)  # 17 with 16 digits
    with pytest.raises(DataError, match=r"could be .*, .*write more"):
        load_snapshot(root, first)


@pytest.mark.parametrize("content", [b"\xe4\xff", b"", b"0123456789abcdef"])
def test_a_damaged_name_of_the_current_snapshot_is_an_error_that_says_what_to_do(content, history, root):
    save_snapshot(history, root, NOON, "raw")
    Path(root, "current").write_bytes(content)
    with pytest.raises(DataError, match=r"snapshots/current is damaged.*rossmann snapshots restore"):
        load_snapshot(root)
    restore_snapshot(root, history.fingerprint)
    assert_same(load_snapshot(root), history)


@pytest.mark.parametrize("unknown", ["0000", "", "../elsewhere"])
def test_an_unknown_snapshot_is_refused_and_the_existing_ones_are_listed(unknown, history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw")
    with pytest.raises(DataError, match=rf"There are {fingerprint}"):
        restore_snapshot(root, unknown)


def test_without_snapshots_the_error_says_how_to_make_one(root):
    assert list_snapshots(root) == []
    with pytest.raises(DataError, match="rossmann ingest --raw"):
        load_snapshot(root)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        ("changed", "days.parquet"),
        ("changed", "plan.parquet"),
        ("changed", "stores.parquet"),
        ("changed", "manifest.json"),
        ("missing", "days.parquet"),
    ],
)
def test_a_damaged_snapshot_is_refused_and_saving_again_repairs_it(damage, file, history, root):
    path = Path(root, save_snapshot(history, root, NOON, "raw"), file)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x80
    path.write_bytes(content) if damage == "changed" else path.unlink()
    with pytest.raises(DataError, match=rf"damaged: .*{file}"):
        load_snapshot(root)
    with pytest.raises(DataError, match="damaged"):
        restore_snapshot(root, history.fingerprint)
    save_snapshot(history, root, ONE_OCLOCK, "raw")
    assert_same(load_snapshot(root), history)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80{}", b"[]", b"{}", b'{"created": "2014-04-01"}'],
    ids=["empty", "byte", "list", "none", "few"],
)
def test_a_damaged_manifest_is_left_out_of_the_list_with_a_warning(content, history, earlier, root, caplog):
    damaged, intact = save_snapshot(earlier, root, NOON, "raw"), save_snapshot(history, root, NOON, "raw")
    Path(root, damaged, "manifest.json").write_bytes(content)
    assert [snapshot.fingerprint for snapshot in list_snapshots(root)] == [intact]
    assert f"{root}/{damaged}/manifest.json is missing or was changed" in caplog.text
    with pytest.raises(DataError, match=f"damaged: .*{damaged}/manifest.json"):
        describe_snapshot(root, damaged)


def test_every_changed_byte_of_a_manifest_is_noticed(history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw")
    file = Path(root, fingerprint, "manifest.json")
    content = file.read_bytes()
    for position in range(len(content)):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(DataError, match="manifest"):
            describe_snapshot(root, fingerprint)
    file.write_bytes(content)
    assert describe_snapshot(root, fingerprint).fingerprint == fingerprint


def test_a_manifest_of_an_earlier_version_has_no_digest_and_is_read(history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw")
    file = Path(root, fingerprint, "manifest.json")
    manifest = json.loads(file.read_text())
    del manifest["digest"]
    file.write_text(json.dumps(manifest))
    assert load_snapshot(root, fingerprint).fingerprint == fingerprint


def test_a_damaged_manifest_of_the_current_snapshot_is_one_error_that_says_what_to_do(history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw")
    Path(root, fingerprint, "manifest.json").write_bytes(b"{}")
    with pytest.raises(DataError, match=r"damaged: .*manifest.json .*Ingest its raw files again, or restore another"):
        load_snapshot(root)


def test_a_folder_without_a_manifest_is_not_a_snapshot(history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw")
    Path(root, "0123456789abcdef").mkdir()
    Path(root, "0123456789abcdef", "days.parquet").write_bytes(b"a part")
    assert [snapshot.fingerprint for snapshot in list_snapshots(root)] == [fingerprint]
    with pytest.raises(DataError, match="no snapshot 0123"):
        load_snapshot(root, "0123")


KILLED_SAVE = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from rossmann.data import load_snapshot, save_snapshot

source, root, write, moment = sys.argv[1:]
history, writes_left, replace = load_snapshot(source), int(write), Path.replace

def replace_or_die(self, target):
    global writes_left
    if not writes_left and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(self, target)
    if not writes_left:
        os.kill(os.getpid(), signal.SIGKILL)
    writes_left -= 1

Path.replace = replace_or_die
save_snapshot(history, root, datetime(2014, 4, 1), "raw")
"""


@pytest.mark.parametrize(
    ("write", "moment"), [(FIRST, "before"), (MANIFEST, "before"), (MANIFEST, "after"), (CURRENT, "before")]
)
def test_a_kill_at_any_moment_leaves_the_old_snapshot_current_and_no_incomplete_one(
    write, moment, history, earlier, root, tmp_path
):
    save_snapshot(history, str(tmp_path / "source"), NOON, "raw")
    old = save_snapshot(earlier, root, NOON, "raw")
    arguments = [str(tmp_path / "source"), root, str(write), moment]
    process = subprocess.run(
        [sys.executable, "-c", KILLED_SAVE, *arguments], cwd=Path(__file__).parents[1], check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert current_snapshot(root) == old
    for snapshot in list_snapshots(root):
        assert load_snapshot(root, snapshot.fingerprint).fingerprint == snapshot.fingerprint
    assert save_snapshot(history, root, ONE_OCLOCK, "raw") == current_snapshot(root)
    assert_same(load_snapshot(root), history)


def test_raw_files_and_snapshots_may_be_in_a_bucket(object_store, history, earlier, tmp_path):
    root = f"s3://{BUCKET}/deep"
    for file in Path(raw_files().write(tmp_path / "raw")).iterdir():
        object_store.client().upload_file(str(file), BUCKET, f"deep/raw/{file.name}")
    ingest = read_history(f"{root}/raw")
    assert (ingest.history.fingerprint, ingest.source) == (FINGERPRINT, f"{root}/raw")
    old = save_snapshot(earlier, f"{root}/snapshots", NOON, "raw")
    new = save_snapshot(ingest.history, f"{root}/snapshots", ONE_OCLOCK, ingest.source)
    assert [s.fingerprint for s in list_snapshots(f"{root}/snapshots")] == [old, new]
    assert_same(load_snapshot(f"{root}/snapshots"), history)
    assert restore_snapshot(f"{root}/snapshots", old[:6]) == old == current_snapshot(f"{root}/snapshots")
    with pytest.raises(DataError, match=f"no train.csv in {root}/none"):
        read_history(f"{root}/none")


def test_the_manifest_has_source_and_files(history, root):
    fingerprint = save_snapshot(history, root, NOON, "raw", date(2014, 3, 16))
    manifest = json.loads(Path(root, fingerprint, "manifest.json").read_text())
    assert manifest["source"] == "raw"
    assert set(manifest["files"]) == {"days.parquet", "plan.parquet", "stores.parquet"}
    assert not [name for name in os.listdir(root) if name.endswith(".unfinished")]
