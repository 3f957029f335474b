"""Settings come from the environment; comments and docstrings do not change the code version."""

import sys
from pathlib import Path

import pytest

from flows.cli.main import main
from rossmann.provenance import dump_code
from rossmann.registry import Registry
from rossmann.settings import Settings, hide_password, without_password


def test_a_setting_is_read_from_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ROSSMANN_CANDIDATES", "ridge, lightgbm")
    monkeypatch.setenv("ROSSMANN_COVERAGE", "0.8")
    settings = Settings()
    assert settings.candidates == ("ridge", "lightgbm")
    assert settings.coverage == 0.8
    assert settings.mlflow_address == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings.workspace.snapshots == f"{tmp_path}/snapshots"


def test_the_levels_of_quantiles_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("ROSSMANN_QUANTILE_LEVELS", "0.1, 0.5,0.9")
    assert Settings().quantile_levels == (0.1, 0.5, 0.9)


def test_the_loss_is_named_in_any_case(monkeypatch):
    monkeypatch.setenv("ROSSMANN_LOSS", "MAE")
    assert Settings().loss == "mae"
    monkeypatch.setenv("ROSSMANN_LOSS", "mape")
    with pytest.raises(ValueError, match="loss"):
        Settings()


@pytest.mark.parametrize("levels", ["0.5,0.1", "0.1,0.1", "0,0.5", "0.5,1", "5,50", "0.5,0.9999999", "0.1,0.1000001"])
def test_levels_that_are_no_ascending_probabilities_are_refused(monkeypatch, levels):
    monkeypatch.setenv("ROSSMANN_QUANTILE_LEVELS", levels)
    with pytest.raises(ValueError, match=r"quantile_levels\n.*must ascend"):
        Settings()


def test_an_impossible_setting_is_refused(monkeypatch):
    monkeypatch.setenv("ROSSMANN_COVERAGE", "1.5")
    with pytest.raises(ValueError, match="coverage"):
        Settings()


def test_a_workspace_in_a_bucket_requires_addresses_of_databases(monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_DATA_DIR", "s3://bucket/workspace")
    monkeypatch.setenv("ROSSMANN_JOURNAL_URL", "postgresql+psycopg://me:secret@host/journal")
    monkeypatch.setattr(sys, "argv", ["rossmann", "models"])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith(
        "ROSSMANN_MLFLOW_TRACKING_URI is not set: s3://bucket/workspace cannot contain a SQLite database"
    )
    assert "JOURNAL" not in message
    monkeypatch.setenv("ROSSMANN_MLFLOW_TRACKING_URI", "http://host:5000")
    settings = Settings()
    assert (settings.workspace.root, settings.workspace.snapshots) == (
        "s3://bucket/workspace",
        "s3://bucket/workspace/snapshots",
    )
    assert settings.local_folder == str(Path("data/s3/bucket/workspace").resolve())


ODD_PASSWORDS = ["secret", "se/cret", "se@cret", "se:cr@et/x", "se?cr=et", "se#cret", "s%40cret", "se cret", "se\ncret"]


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_no_part_of_an_odd_password_is_shown(password):
    address = f"postgresql+psycopg://me:{password}@host:5432/journal?sslmode=require"
    shown = without_password(address)
    assert shown == "postgresql+psycopg://me:***@host:5432/journal?sslmode=require"
    host = address.rpartition("me:")[2].partition("@")[2]  # what a driver takes for the host
    message = hide_password(f"could not connect to {host!r} as {address}", address)
    assert "cret" not in message
    assert "could not connect to" in message


@pytest.mark.parametrize(
    "address", ["sqlite:////data/journal.db", "http://host:5000", "http://[::1]:5000/x", "postgresql://me@host/x"]
)
def test_an_address_without_a_password_is_shown_as_it_is(address):
    assert without_password(address) == address
    assert hide_password(f"no table in {address}", address) == f"no table in {address}"


def test_an_invalid_api_key_is_refused_without_showing_it(monkeypatch, capsys):
    monkeypatch.setenv("ROSSMANN_API_KEYS", '["secret-key"]')
    monkeypatch.setattr(sys, "argv", ["rossmann", "models"])
    with pytest.raises(SystemExit):
        main()
    message = capsys.readouterr().err
    assert message.startswith("ROSSMANN_API_KEYS: an API key consists of letters, digits")
    assert "secret-key" not in message
    monkeypatch.setenv("ROSSMANN_API_KEYS", "one, tw-o==")
    assert [key.get_secret_value() for key in Settings().api_keys] == ["one", "tw-o=="]


def test_mail_requires_key_and_sender_of_sendgrid(monkeypatch):
    monkeypatch.setenv("ROSSMANN_NOTIFY_EMAIL", "me@example.org")
    monkeypatch.setenv("ROSSMANN_SENDGRID_KEY", "key")
    with pytest.raises(ValueError, match="ROSSMANN_SENDGRID_SENDER"):
        Settings()
    monkeypatch.setenv("ROSSMANN_SENDGRID_SENDER", "us@example.org")
    assert Settings().notify_email == "me@example.org"


def test_passwords_are_hidden_in_addresses():
    assert (
        Registry("postgresql+psycopg://me:a%20secret@host:5432/x", "").address
        == "postgresql+psycopg://me:***@host:5432/x"
    )
    assert Registry("sqlite:////a/b.db", "").address == "sqlite:////a/b.db"
    assert Registry("postgresql://me:a:b@host/x?user=me&password=a", "").address == (
        "postgresql://me:***@host/x?user=me&password=***"
    )


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("ROSSMANN_SERVE_ADDRESS", "")
    assert Settings().serve_address is None


@pytest.mark.parametrize(
    ("source", "is_same"),
    [
        ('"""Another docstring."""\n\ndef f(x):\n    return x + 1  # one more\n', True),
        ('def f(x):\n    """Add one."""\n    return x + 1\n', True),
        ("def f(x):\n    return x + 2\n", False),
    ],
)
def test_comments_docstrings_and_layout_do_not_change_the_code_version(source, is_same):
    code = "def f(x):\n    return x + 1\n"
    assert (dump_code(source) == dump_code(code)) == is_same
