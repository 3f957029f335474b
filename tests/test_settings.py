"""Settings come from the environment; the code version is of what the code does, not of how it is written."""

import pytest

from rossmann import settings
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
