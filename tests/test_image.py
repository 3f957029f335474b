"""Dockerfile and compose.yaml, checked as text; deployments/verify-*.sh build and run them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from docker.utils.build import exclude_paths

from flows.cli.commands import app
from rossmann.settings import TELEMETRY_OFF, Settings

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
LAST_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
COMPOSE_TEXT = (REPOSITORY / "deployments/compose.yaml").read_text()
SERVICES: dict[str, dict] = yaml.safe_load(COMPOSE_TEXT)["services"]
OWN_SERVICES = {name: service for name, service in SERVICES.items() if "build" in service}


def _assert_succeeds(*command: str) -> None:
    program = Path(sys.executable).parent / command[0]
    result = subprocess.run([program, *command[1:]], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout + result.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    _assert_succeeds("hadolint", "Dockerfile")


def test_the_compose_file_is_valid_by_the_compose_schema() -> None:
    _assert_succeeds("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deployments/compose.yaml")


def test_the_last_stage_runs_without_root_and_has_no_build_tools() -> None:
    instructions = re.findall(r"^([A-Z]+) (.*)", LAST_STAGE, re.MULTILINE)
    assert [argument for name, argument in instructions if name == "USER"] == ["10001"]
    assert all(argument.startswith("--from=builder") for name, argument in instructions if name == "COPY")
    assert not re.search(r"pip|\buv\b|secret", LAST_STAGE)
    assert {"HEALTHCHECK", "LABEL"} <= {name for name, _ in instructions}


def test_telemetry_is_off_in_every_container() -> None:
    assert [f"{name}={value}" for name, value in TELEMETRY_OFF.items() if f"{name}={value}" not in LAST_STAGE] == []


def test_the_build_gets_code_and_configuration_and_nothing_else() -> None:
    patterns = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {name for name in exclude_paths(str(REPOSITORY), patterns) if (REPOSITORY / name).is_file()}
    code = {str(file.relative_to(REPOSITORY)) for part in ("flows", "rossmann") for file in _files(REPOSITORY / part)}
    deployments = {f"deployments/{name}" for name in ("serve.yaml", "serve.env", "haproxy", "automations.yaml")}
    configuration = {"prefect.yaml", *deployments}
    build_files = {"Dockerfile", ".dockerignore"}  # always sent, never copied
    assert sent - build_files == code | configuration | {"pyproject.toml", "requirements.lock", "LICENSE", "README.md"}


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_the_command_of_a_service_exists(name: str) -> None:
    command = OWN_SERVICES[name]["command"]
    line = command if isinstance(command, str) else shlex.join(command) if command[0] == "python" else command[-1]
    for part in re.split(r" && (?:exec )?", line):
        program, subcommand = part.split()[:2]
        if program == ".":  # the shell reads a file
            assert f"!{subcommand}" in (REPOSITORY / ".dockerignore").read_text().splitlines()
            continue
        assert (Path(sys.executable).parent / program).exists()
        assert program != "rossmann" or subcommand in typer.main.get_command(app).commands


def test_every_rossmann_variable_of_the_compose_file_is_a_setting() -> None:
    variables = {name for service in OWN_SERVICES.values() for name in service.get("environment", {})}
    settings = {name.removeprefix("ROSSMANN_").lower() for name in variables if name.startswith("ROSSMANN_")}
    assert len(settings) > 5
    assert settings <= set(Settings.model_fields)


def test_ports_are_published_on_the_loopback_address_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_a_file_that_git_ignores() -> None:
    example = (REPOSITORY / "deployments/compose.env.example").read_text()
    variables = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert variables == set(re.findall(r"^(?:# )?(\w+)=", example, re.MULTILINE))
    assert re.findall(r"=.+", example) == [], "the example contains a secret"
    assert re.findall(r".*(?:PASSWORD|SECRET|TOKEN|_KEYS)\w*: (?![$*&]).*", COMPOSE_TEXT) == []
    subprocess.run(["git", "check-ignore", "deployments/compose.env"], cwd=REPOSITORY, check=True, capture_output=True)


def test_services_wait_for_a_health_check_or_for_the_end_of_a_service() -> None:
    with_health_check = {name for name, service in SERVICES.items() if _has_health_check(service)}
    run_once = {name for name, service in SERVICES.items() if service["restart"].startswith("on-failure")}
    assert with_health_check | run_once == set(SERVICES)
    conditions = [
        (name, dependency["condition"])
        for service in SERVICES.values()
        for name, dependency in service.get("depends_on", {}).items()
    ]
    assert {name for name, condition in conditions if condition == "service_healthy"} <= with_health_check
    assert {name for name, condition in conditions if condition == "service_completed_successfully"} <= run_once
    assert "service_started" not in {condition for _, condition in conditions}


def _has_health_check(service: dict) -> bool:
    """Of its own, or the image's with an address."""
    return bool(service.get("healthcheck", {}).get("test")) or "HEALTH_URL" in service.get("environment", {})


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
