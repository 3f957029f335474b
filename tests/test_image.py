"""The image and the stack of containers say what they should; deployments/verify-*.sh run them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from docker.utils.build import exclude_paths

from flows.__main__ import app
from rossmann.settings import QUIET, Settings

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
LAST_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
COMPOSE_TEXT = (REPOSITORY / "deployments/compose.yaml").read_text()
SERVICES: dict[str, dict] = yaml.safe_load(COMPOSE_TEXT)["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}


def _ran(*command: str) -> None:
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_is_clean() -> None:
    _ran("hadolint", "Dockerfile")


def test_the_compose_file_keeps_to_the_compose_schema() -> None:
    _ran("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deployments/compose.yaml")


def test_the_last_stage_has_no_root_and_no_tools() -> None:
    instructions = re.findall(r"^([A-Z]+) (.*)", LAST_STAGE, re.MULTILINE)
    assert [what for name, what in instructions if name == "USER"] == ["10001"]
    assert [what for name, what in instructions if name == "COPY" and not what.startswith("--from=builder")] == []
    assert not re.search(r"pip|\buv\b|secret", LAST_STAGE)
    assert {"HEALTHCHECK", "LABEL"} <= {name for name, _ in instructions}


def test_telemetry_is_off_in_every_container() -> None:
    assert [f"{name}={value}" for name, value in QUIET.items() if f"{name}={value}" not in LAST_STAGE] == []


def test_the_image_gets_what_runs_and_nothing_else() -> None:
    patterns = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {name for name in exclude_paths(str(REPOSITORY), patterns) if (REPOSITORY / name).is_file()}
    code = {str(file.relative_to(REPOSITORY)) for part in ("flows", "rossmann") for file in _files(REPOSITORY / part)}
    configuration = {"prefect.yaml", "deployments/serve.yaml", "deployments/automations.yaml"}
    recipe = {"Dockerfile", ".dockerignore"}  # always sent, never copied
    assert sent - recipe == code | configuration | {"pyproject.toml", "requirements.lock", "LICENSE", "README.md"}


@pytest.mark.parametrize("name", OURS)
def test_a_command_of_the_stack_exists(name: str) -> None:
    command = OURS[name]["command"]
    line = command if isinstance(command, str) else shlex.join(command) if command[0] == "python" else command[-1]
    for part in re.split(r" && (?:exec )?", line):
        program, verb = part.split()[:2]
        assert (Path(sys.executable).parent / program).exists()
        assert program != "rossmann" or verb in typer.main.get_command(app).commands


def test_the_settings_of_the_stack_are_settings() -> None:
    given = {name for each in OURS.values() for name in each.get("environment", {}) if name.startswith("ROSSMANN_")}
    assert len(given) > 5
    assert [name for name in given if name.removeprefix("ROSSMANN_").lower() not in Settings.model_fields] == []


def test_the_stack_is_published_to_its_own_machine_alone() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_a_file_that_git_does_not_see() -> None:
    example = (REPOSITORY / "deployments/compose.env.example").read_text()
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert asked == set(re.findall(r"^(?:# )?(\w+)=", example, re.MULTILINE))
    assert re.findall(r"=.+", example) == [], "an example holds no secret"
    assert re.findall(r".*(?:PASSWORD|SECRET|TOKEN|_KEYS)\w*: (?![$*&]).*", COMPOSE_TEXT) == []
    subprocess.run(["git", "check-ignore", "deployments/compose.env"], cwd=REPOSITORY, check=True, capture_output=True)


def test_what_is_waited_for_can_be_seen() -> None:
    seen = {name for name, each in SERVICES.items() if _tells_its_health(each)}
    ends = {name for name, each in SERVICES.items() if each["restart"].startswith("on-failure")}
    assert seen | ends == set(SERVICES)
    awaited = [(on, how["condition"]) for each in SERVICES.values() for on, how in each.get("depends_on", {}).items()]
    assert {on for on, how in awaited if how == "service_healthy"} <= seen
    assert {on for on, how in awaited if how == "service_completed_successfully"} <= ends
    assert "service_started" not in {how for _, how in awaited}


def _tells_its_health(service: dict) -> bool:
    """By a check of its own, or by the address that the image's check asks."""
    return bool(service.get("healthcheck", {}).get("test")) or "HEALTH_URL" in service.get("environment", {})


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
