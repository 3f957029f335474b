"""Settings come from the environment; the code version is of what the code does, not of how it is written."""

import sys
from pathlib import Path

import pytest

from flows.__main__ import main
from rossmann import settings
from rossmann.registry import Registry
from rossmann.settings import Settings


def test_a_setting_is_read_from_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ROSSMANN_CANDIDATES", "ridge, lightgbm")
    monkeypatch.setenv("ROSSMANN_COVERAGE", "0.8")
    made = Settings()
    assert made.candidates == ("ridge", "lightgbm")
    assert made.coverage == 0.8
    assert made.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert made.place("snapshots") == f"{tmp_path}/snapshots"


def test_an_impossible_setting_is_refused(monkeypatch):
    monkeypatch.setenv("ROSSMANN_COVERAGE", "1.5")
    with pytest.raises(ValueError, match="coverage"):
        Settings()


def test_a_world_in_a_bucket_needs_its_databases_named(monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", "s3://bucket/world")
    monkeypatch.setenv("ROSSMANN_JOURNAL_URL", "postgresql+psycopg://me:secret@there/journal")
    monkeypatch.setattr(sys, "argv", ["rossmann", "models"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("ROSSMANN_MLFLOW_TRACKING_URI is not set: no SQLite can lie in s3://bucket/world")
    assert "JOURNAL" not in told
    monkeypatch.setenv("ROSSMANN_MLFLOW_TRACKING_URI", "http://there:5000")
    made = Settings()
    assert (made.home, made.place("snapshots")) == ("s3://bucket/world", "s3://bucket/world/snapshots")
    assert made.local_home == str(Path("data/s3/bucket/world").resolve())


def test_what_no_key_can_be_is_refused_without_telling_it(monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_API_KEYS", '["geheim"]')
    monkeypatch.setattr(sys, "argv", ["rossmann", "models"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert told.startswith("ROSSMANN_API_KEYS: a key is letters, digits")
    assert "geheim" not in told
    monkeypatch.setenv("ROSSMANN_API_KEYS", "one, tw-o==")
    assert [key.get_secret_value() for key in Settings().api_keys] == ["one", "tw-o=="]


def test_mail_needs_someone_who_sends_it(monkeypatch):
    monkeypatch.setenv("ROSSMANN_NOTIFY_EMAIL", "me@example.org")
    monkeypatch.setenv("ROSSMANN_SENDGRID_KEY", "key")
    with pytest.raises(ValueError, match="ROSSMANN_SENDGRID_SENDER"):
        Settings()
    monkeypatch.setenv("ROSSMANN_SENDGRID_SENDER", "us@example.org")
    assert Settings().notify_email == "me@example.org"


def test_a_password_is_not_told():
    assert (
        Registry("postgresql+psycopg://me:a%20secret@there:5432/x", "").address
        == "postgresql+psycopg://me:***@there:5432/x"
    )
    assert Registry("sqlite:////a/b.db", "").address == "sqlite:////a/b.db"
    assert Registry("postgresql://me:a:b@there/x?user=me&password=a", "").address == (
        "postgresql://me:***@there/x?user=me&password=***"
    )


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("ROSSMANN_SERVE_ADDRESS", "")
    assert Settings().serve_address is None


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ('"""Told otherwise."""\n\ndef f(x):\n    return x + 1  # one more\n', True),
        ('def f(x):\n    """Told."""\n    return x + 1\n', True),
        ("def f(x):\n    return x + 2\n", False),
    ],
)
def test_the_code_version_is_of_the_code_not_its_text(other, same):
    code = "def f(x):\n    return x + 1\n"
    assert (settings._meaning(other) == settings._meaning(code)) == same
