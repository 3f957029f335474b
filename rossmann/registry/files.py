"""The files of a model version: hashed into its card when it is registered, verified before anything parses them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rossmann.registry.cards import ModelCard

CARD_FILE = "card.json"  # a copy of the card; the registry's database has the original


def card_json(card: ModelCard) -> str:
    """The card as text, the same whenever it is written."""
    return json.dumps(asdict(card), indent=2)


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of the folder and of its subfolders, by its path inside the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): _hash(file.read_bytes()) for file in files}


def hashes_of_version(card: ModelCard) -> dict[str, str]:
    """What `hash_files` must return for the files of the card's version."""
    return card.files | {CARD_FILE: _hash(card_json(card).encode())}


def content_key(hashes: Mapping[str, str]) -> str:
    """16 hex digits: a hash of the content of all files."""
    return _hash(json.dumps(hashes, sort_keys=True).encode())[:16]


def find_damage(expected: Mapping[str, str], actual: Mapping[str, str]) -> tuple[str, str] | None:
    """The first file that is not as expected, and what is wrong with it; None if all are."""
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            return name, "is missing"
        if name not in expected:
            return name, "does not belong there"
        if actual[name] != expected[name]:
            return name, "was changed"
    return None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
