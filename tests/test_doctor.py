"""`rossmann doctor` finds what is really broken, says what to do, shows no secret, and ends by itself."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.commands import app
from flows.cli.doctor import display, installation, keys, machine, network
from flows.cli.doctor.checks import CHECKS, run_checks
from flows.cli.doctor.findings import OK, REPOSITORY, WARNING, WRONG, Finding, Surroundings, read_surroundings
from flows.cli.doctor.network import Port
from rossmann.serving.server import responses
from tests.support.cluster import free_ports

SECRET = "open-sesame-0123456789"


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    """Reads the surroundings with these variables, and no others of ours."""

    def read(**variables: str) -> Surroundings:
        for name in [name for name in os.environ if name.startswith(("ROSSMANN_", "PREFECT_", "AWS_", "RAY_AUTH"))]:
            monkeypatch.delenv(name)
        for name, value in ({"ROSSMANN_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)} | variables).items():
            monkeypatch.setenv(name, value)
        return read_surroundings(dict(os.environ))

    return read


@contextmanager
def server(answer: str, date: str | None = None, key: str = ""):
    """An HTTP server on a free port that gives the same answer to everything, with 401 to /model without its key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            is_refused = self.path == "/model" and self.headers.get("X-API-Key", "") != key
            self.send_response_only(401 if key and is_refused else 200)
            self.send_header("Date", date or self.date_time_string())
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


@contextmanager
def silent_listener():
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_healthy_machine_gets_exit_code_0_and_every_check_reports(surroundings):
    surroundings()
    result = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(result.output)
    assert {each["check"] for each in document["findings"]} == set(CHECKS)
    assert document["healthy"] == (result.exit_code == 0)
    others = [
        each for each in document["findings"] if each["status"] == WRONG and each["check"] not in ("ports", "disk")
    ]
    assert others == []  # what else runs on the machine of the test may occupy ports


def test_an_occupied_port_is_wrong_and_names_the_process(surroundings):
    with silent_listener() as port:
        surroundings(MLFLOW_PORT=str(port))
        result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    (finding,) = [each for each in json.loads(result.output)["findings"] if f"{port}, for MLflow" in each["text"]]
    assert finding["status"] == WRONG
    assert f"(process {os.getpid()})" in finding["text"]
    assert f"MLFLOW_PORT={port + 100}" in finding["advice"]


def test_a_port_on_which_its_own_program_answers_is_ok_and_another_program_is_not(surroundings):
    with server("true") as port:
        environment = surroundings(PREFECT_PORT=str(port))
        own, other = (Port("the server", "PREFECT_PORT", 1, answer, "/api/health") for answer in ("true", "mlflow"))
        assert [each.status for each in network.ports(environment, (own,))] == [OK]
        assert [each.status for each in network.ports(environment, (other,))] == [WRONG]


def test_the_port_of_the_running_endpoint_is_ok(surroundings):
    (own,) = [each for each in network.PORTS if each.variable == "ROSSMANN_HTTP_PORT"]
    with server(responses.Health().model_dump_json()) as port:
        (finding,) = network.ports(surroundings(ROSSMANN_HTTP_PORT=str(port)), (own,))
    assert (finding.status, finding.text) == (OK, f"{port}: the endpoint answers there")


def test_a_free_port_is_no_good_sign_while_the_stack_runs(surroundings):
    (endpoint,) = (each for each in network.PORTS if each.variable == "ROSSMANN_HTTP_PORT")
    free = str(free_ports(1)[0])
    with server("true") as port:
        prefect = Port("Prefect's server", "PREFECT_PORT", 1, "true", "/api/health")
        serve = {"ROSSMANN_SERVE_ADDRESS": "http://127.0.0.1:1"}
        environment = surroundings(PREFECT_PORT=str(port), ROSSMANN_HTTP_PORT=free, **serve)
        findings = list(network.ports(environment, (endpoint, prefect)))
        assert [each.status for each in findings] == [OK, WRONG]
        assert f"{free}: nothing listens there" in findings[1].text
        assert [each.status for each in network.ports(environment, (endpoint,))] == [OK], "there is no stack"


def test_a_port_without_http_is_recognised_by_the_command_line_of_its_process(surroundings, tmp_path):
    module = tmp_path / "ray" / "util" / "client" / "server.py"  # the name that Ray's client server is started by
    module.parent.mkdir(parents=True)
    for package in list(module.parents)[:3]:
        (package / "__init__.py").write_text("")
    module.write_text(
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "    print(listener.getsockname()[1], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    (own,) = [each for each in network.PORTS if each.variable == "RAY_CLIENT_PORT"]
    command = [sys.executable, "-m", "ray.util.client.server"]
    with subprocess.Popen(
        command, env={"PYTHONPATH": str(tmp_path)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        environment = surroundings(RAY_CLIENT_PORT=process.stdout.readline().strip())
        statuses = [each.status for each in network.ports(environment, (own,))]
        process.stdin.close()
    assert statuses == [OK]
    with silent_listener() as port:
        assert [each.status for each in network.ports(surroundings(RAY_CLIENT_PORT=str(port)), (own,))] == [WRONG]


@pytest.mark.parametrize("text", ["http", "0", "70000"])
def test_a_port_that_is_no_number_is_wrong(surroundings, text):
    (finding,) = network.ports(surroundings(PREFECT_PORT=text), (Port("the server", "PREFECT_PORT", 4200, ""),))
    assert (finding.status, finding.text) == (WRONG, "PREFECT_PORT is no port number")


def test_an_address_that_does_not_respond_is_wrong_and_its_password_is_not_shown(surroundings):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # closed again below: nothing listens
    environment = surroundings(ROSSMANN_JOURNAL_URL=f"postgresql+psycopg://me:{SECRET}@127.0.0.1:{port}/journal")
    (finding,) = network.addresses(environment)
    assert finding.status == WRONG
    assert (
        f"ROSSMANN_JOURNAL_URL: postgresql+psycopg://me:***@127.0.0.1:{port}/journal does not respond" in finding.text
    )


@pytest.mark.parametrize("password", ["open/sesame-0123456789", "open#sesame-0123456789"])
def test_an_address_that_a_password_breaks_is_wrong_without_showing_it(surroundings, password):
    (finding,) = network.addresses(surroundings(ROSSMANN_JOURNAL_URL=f"postgresql://me:{password}@host/journal"))
    assert (finding.status, "sesame" in f"{finding}") == (WRONG, False)


def test_an_address_without_its_scheme_is_wrong(surroundings):
    (finding,) = network.addresses(surroundings(PREFECT_API_URL="localhost:4330"))
    assert (finding.status, "http://127.0.0.1:4200/api" in finding.advice) == (WRONG, True)


def test_a_server_that_accepts_and_never_answers_does_not_hang_the_doctor(surroundings):
    with silent_listener() as port:
        environment = surroundings(PREFECT_API_URL=f"http://127.0.0.1:{port}/api")
        start = time.monotonic()
        findings = list(network.addresses(environment))
    assert [each.status for each in findings] == [OK]  # it accepts connections
    assert time.monotonic() - start < 10


def test_a_server_with_another_time_is_wrong(surroundings):
    with server("", date="Sun, 01 Feb 2015 10:00:00 GMT") as port:
        findings = list(network.addresses(surroundings(ROSSMANN_MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")))
    assert [each.status for each in findings] == [OK, WRONG]
    assert "behind this machine's" in findings[1].text


def test_shared_memory_is_judged_by_what_ray_asks_for():
    statuses = [machine.judge_shared_memory("/dev/shm", free, 8e9).status for free in (0, 64e6, 2.3e9, 2.5e9)]
    assert statuses == [WRONG, WARNING, WARNING, OK]  # 30 % of 8 GB is 2.4 GB


def test_a_missing_shared_memory_is_a_warning(surroundings, tmp_path):
    (finding,) = machine.shared_memory(surroundings(), folder=f"{tmp_path}/shm")
    assert finding.status == WARNING


def test_a_full_disk_is_wrong_and_little_space_a_warning():
    statuses = [machine.judge_disk("the workspace", "/data", free).status for free in (1e6, 1e9, 1e10)]
    assert statuses == [WRONG, WARNING, OK]


def test_a_workspace_that_cannot_be_created_is_wrong(surroundings, tmp_path):
    (tmp_path / "file").write_text("")
    workspace, _ = machine.disk(surroundings(ROSSMANN_DATA_DIR=f"{tmp_path}/file/workspace"))
    assert workspace.status == WRONG
    assert "ROSSMANN_DATA_DIR" in workspace.advice


def test_a_disk_whose_clock_differs_is_wrong():
    assert machine.judge_skew("the disk", 1000.0, 1030.0).status == OK
    finding = machine.judge_skew("the disk", 1000.0, 1100.0)
    assert (finding.status, finding.text) == (WRONG, "the clock of the disk is 100 s behind this machine's")


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({}, OK),
        ({"ROSSMANN_API_KEYS": SECRET}, OK),
        ({"ROSSMANN_API_KEYS": f"{SECRET},short-1"}, WARNING),
        ({"ROSSMANN_HTTP_HOST": "0.0.0.0"}, WRONG),
        ({"ROSSMANN_HTTP_HOST": "0.0.0.0", "ROSSMANN_API_KEYS": SECRET}, OK),
    ],
)
def test_keys_are_judged_by_their_length_and_by_who_reaches_the_endpoint(surroundings, variables, status):
    findings = list(keys.api_keys(surroundings(**variables)))
    assert [each.status for each in findings] == [status]
    assert not any(word in f"{findings}" for word in (SECRET, "short-1"))


@pytest.mark.parametrize(
    ("own", "of_endpoint", "statuses"),
    [
        (SECRET, SECRET, []), ("", "", []), ("another-key-of-some-length", SECRET, [WRONG]), ("", SECRET, [WRONG]),
        (SECRET, "", [WARNING]),
    ],
)  # fmt: skip
def test_keys_are_compared_with_those_of_the_running_endpoint(surroundings, own, of_endpoint, statuses):
    with server(responses.Health().model_dump_json(), key=of_endpoint) as port:
        findings = list(keys.endpoint_keys(surroundings(ROSSMANN_HTTP_PORT=str(port), ROSSMANN_API_KEYS=own)))
    assert [each.status for each in findings] == statuses
    assert SECRET not in f"{findings}"


def test_a_token_of_ray_that_is_not_there_is_wrong_unless_make_up_writes_it(surroundings, tmp_path):
    (finding,) = keys.missing_token(surroundings(RAY_AUTH_TOKEN_PATH=f"{tmp_path}/nowhere"))
    assert finding.status == WRONG
    assert list(keys.missing_token(surroundings(RAY_AUTH_TOKEN_PATH=f"{tmp_path}/ray-token"))) == []


@pytest.mark.parametrize(
    ("zone", "statuses"),
    [("", []), ("Europe/Berlin", []), (":UTC", []), ("CET-1CEST", []), ("Nonsense/Zone", [WARNING])],
)
def test_a_time_zone_that_does_not_exist_is_a_warning(zone, statuses):
    assert [each.status for each in machine.time_zone(zone)] == statuses


def test_half_a_key_of_the_object_storage_is_wrong(surroundings):
    (finding,) = keys.aws_keys(surroundings(AWS_SECRET_ACCESS_KEY=SECRET))
    assert (finding.status, SECRET in f"{finding}") == (WRONG, False)


@pytest.mark.parametrize(
    ("mode", "content", "statuses"), [(0o600, "x", []), (0o644, "x", [WRONG]), (0o600, "", [WRONG])]
)
def test_a_token_that_others_may_read_or_that_is_empty_is_wrong(surroundings, tmp_path, mode, content, statuses):
    token = tmp_path / "ray-token"
    token.write_text(content)
    token.chmod(mode)
    assert [each.status for each in keys.keys(surroundings()) if str(token) in each.text] == statuses


def test_an_empty_file_of_keys_is_not_replaced_by_make_up(surroundings, tmp_path):
    for name in (".pgpass", "ray-token"):
        (tmp_path / name).touch(0o600)
    advice = {
        Path(each.text.split()[0]).name: each.advice for each in keys.keys(surroundings()) if "empty" in each.text
    }
    assert advice[".pgpass"] == "fill it in or delete it"
    assert "`make up` writes a new token" in advice["ray-token"]


def test_secrets_are_looked_for_in_the_repository_from_any_folder(surroundings, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    file = repository / "deployments" / "compose.env"
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.chdir(tmp_path)
    assert keys.secret_files(surroundings(), repository) == [file]


def test_an_impossible_setting_is_wrong_and_an_unknown_one_is_a_warning(surroundings):
    (impossible,) = installation.settings(surroundings(ROSSMANN_COVERAGE="1.5"))
    assert (impossible.status, impossible.text.startswith("ROSSMANN_COVERAGE = 1.5: ")) == (WRONG, True)
    (unknown,) = installation.settings(surroundings(ROSSMANN_FOLD="5"))
    assert (unknown.status, unknown.advice) == (WARNING, "did you mean ROSSMANN_FOLDS?")


def test_another_python_and_other_versions_than_locked_are_wrong(surroundings, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        'requires-python = ">=3.9,<3.10"  # old\ndependencies = [\n    "numpy>=2",\n    "no-such-package>=1",\n]\n'
    )
    (tmp_path / "requirements.lock").write_text("numpy==1.0\npytest==0.1\n")
    (old,) = installation.python(surroundings(), tmp_path)
    assert (old.status, "make install PYTHON=python3.9" in old.advice) == (WRONG, True)
    absent, different = installation.versions(surroundings(), tmp_path)
    assert (absent.status, absent.text) == (WRONG, "not installed: no-such-package")
    assert different.status == WRONG
    assert "(1.0), pytest " in different.text


def test_a_library_that_does_not_load_is_wrong(surroundings, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file: No such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = installation.libraries(surroundings(), ("json", "broken"))
    assert (finding.status, finding.advice.endswith("apt-get install libgomp1")) == (WRONG, True)


def test_without_any_package_the_doctor_says_so_and_shows_no_traceback(tmp_path):
    result = subprocess.run(
        [sys.executable, "-S", "-m", "flows.cli.doctor"],  # -S: without the packages of the environment
        cwd=REPOSITORY,
        env={"HOME": str(tmp_path), "ROSSMANN_API_KEYS": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stderr == ""
    assert "wrong\tsettings\tModuleNotFoundError: No module named 'pydantic'\trun `make install`" in result.stdout
    assert SECRET not in result.stdout


def test_a_check_that_fails_or_does_not_end_is_a_finding_and_the_others_report(surroundings):
    never = threading.Event()

    def fails(_):
        raise ValueError(SECRET)

    def hangs(_):
        yield Finding("hangs", OK, "fine so far")
        never.wait()

    checks = {"fails": fails, "hangs": hangs, "works": lambda _: [Finding("works", OK, "fine")]}
    findings = run_checks(surroundings(), checks, 0.5)
    never.set()
    statuses = [(each.check, each.status) for each in findings]
    assert statuses == [("fails", WRONG), ("hangs", OK), ("hangs", WRONG), ("works", OK)]
    assert SECRET not in f"{findings}"


def test_every_finding_that_is_not_ok_says_what_to_do_and_fits_the_terminal():
    finding = Finding("ports", WRONG, "4200, for Prefect's server, is in use by " + "x" * 60, "end it " * 20)
    lines = display.terminal_lines([finding], 80)
    assert max(map(len, lines)) <= 90
    assert lines[0].startswith("wrong    ports")
    assert any(line.lstrip().startswith("→ end it") for line in lines)
    assert lines[-1] == "1 wrong, 0 warnings, 0 ok"


def test_the_locked_versions_are_those_of_the_lock():
    lock = installation.locked_versions(Path(REPOSITORY) / "requirements.lock")
    assert "numpy" in lock
    assert "numpy" in installation.direct_dependencies(REPOSITORY / "pyproject.toml")
