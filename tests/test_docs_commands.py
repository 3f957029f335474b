"""Every command, option, setting and file that the documentation names exists, and a test runs each command.

The commands of the pages of JOURNEY are run by `test_docs_journey.py`, those that need servers by `test_docs_stack.py`,
and those of ELSEWHERE by the test that is named beside them.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup

from flows.cli.commands import app
from rossmann.settings import Settings
from tests.support.docs import PAGES, REPOSITORY, Command, differences, read_commands, rossmann_calls
from tests.support.docs_places import ELSEWHERE, JOURNEY, is_server_block, place_of

CI = {"make test", "make proof"}  # what .ci/run itself does; it runs these tests
OTHER_VARIABLES = {"ROSSMANN_HEAD"}  # of deployments/cluster.env
TEXTS = {page: (REPOSITORY / page).read_text() for page in PAGES}
COMMANDS = [command for page in PAGES for command in read_commands(page)]


def test_every_command_is_run_by_a_test() -> None:
    """Commands with a prompt of their own, as `head$`, are those of test_ray_cluster.py, which reads them."""
    others = [each for each in COMMANDS if each.page not in JOURNEY and not each.prompt and not is_server_block(each)]
    others = [each for each in others if each.text.split("#")[0].strip() not in CI]
    assert [f"{each.page}: {each.text}" for each in others if not place_of(each)] == []
    assert {each.page for each in COMMANDS if each.prompt} == {"docs/cluster.md"}
    assert all(command in (REPOSITORY / ".ci/run").read_text() for command in CI)


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_the_test_of_a_command_that_runs_elsewhere_exists(pattern: str) -> None:
    file, _, name = ELSEWHERE[pattern].partition("::")
    assert re.search(rf"^def {name}\b", (REPOSITORY / file).read_text(), re.MULTILINE)
    assert any(re.search(pattern, f"{each.page}: {each.text}") for each in COMMANDS), "no page has such a command"


def test_make_demo_runs_the_commands_of_the_quick_start() -> None:
    recipe = (REPOSITORY / "Makefile").read_text().partition("\ndemo: ")[2].partition("\n\n")[0]
    assert rossmann_calls(recipe.replace("$(BIN)/", "")) == [["sample"], ["retrain"]]


def test_the_scripts_and_files_of_containers_are_valid() -> None:
    """They need a container engine, or root; deployments/verify-*.sh are run by hand before a release."""
    (up,) = (each.text for each in COMMANDS if each.text.startswith("docker compose"))
    files = re.findall(r"(?:-f|--env-file) (\S+)", up)
    assert [file for file in files if not (REPOSITORY / f"{file.replace('.env', '.env.example')}").exists()] == []
    for script in ("verify-image.sh", "verify-compose.sh"):
        subprocess.run(["bash", "-n", REPOSITORY / "deployments" / script], check=True)


def test_the_configuration_of_pre_commit_is_valid() -> None:
    subprocess.run([f"{REPOSITORY}/.venv/bin/pre-commit", "validate-config"], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize(
    ("shown", "is_wrong"),
    [
        ("2,880 rows: 60 stores", False),
        ("2,881 rows: 61 stores", False),
        ("rows: … stores", False),
        ("60 shops", True),
        ("70c53e95123a0a1a", False),
        ("70c53e95123a0a1b", True),
        ('{"version":1,…}', False),
        ('{"model":1,…}', True),
        ("401", False),
        ("200", True),
    ],
)
def test_an_output_that_is_not_printed_is_found(shown: str, is_wrong: bool) -> None:
    printed = '2,880 rows: 60 stores\n70c53e95123a0a1a\n{"version":1,"x":2}\n401\n'
    assert bool(differences(Command("", "", "", (shown,), 0), printed)) == is_wrong


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("rossmann models; rossmann forecast --out 'a b.csv'  # look", [["models"], ["forecast", "--out", "a b.csv"]]),
        ("X=1 rossmann alarms | head -3", [["alarms"]]),
        ("prefect work-pool create rossmann --type process", []),
    ],
)
def test_calls_are_found_in_a_line_of_a_shell(text: str, calls: list[list[str]]) -> None:
    assert rossmann_calls(text) == calls


def documented_calls() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every call of `rossmann`, in blocks and within sentences."""
    for command in COMMANDS:
        yield from ((command.page, words) for words in rossmann_calls(command.text))
    for page, text in TEXTS.items():
        for span in re.findall(r"`(rossmann [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            yield page, span.split()[1:]


def test_every_command_and_option_exists() -> None:
    root = typer.main.get_command(app)
    wrong = [f"{page}: rossmann {' '.join(words)}" for page, words in documented_calls() if not exists(root, words)]
    assert wrong == []


def test_the_table_of_commands_has_every_command() -> None:
    table = [line.split("|")[1] for line in TEXTS["docs/operations.md"].splitlines() if line.startswith("| `")]
    rows = {span.split()[0] for cell in table for span in re.findall(r"`([^`]+)`", cell)}
    assert set(typer.main.get_command(app).commands) - rows == set()


def exists(command: TyperGroup, words: list[str]) -> bool:
    """Whether the words are a command and its options; COMMAND stands for any."""
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if isinstance(command, TyperGroup) and words and words[0] not in ("COMMAND", "…") and not words[0].startswith("-"):
        return False
    options = {option for parameter in command.params for option in parameter.opts}
    options |= {"--help", "--install-completion", "--show-completion"}
    return {word.split("=")[0] for word in words if word.startswith("--")} <= options


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(TEXTS.values())
    named = set(re.findall(r"(?:^\$ |`|&& )make ([a-z][a-z-]*)", text, re.MULTILINE))
    assert {"demo", "up", "deploy"} <= named
    assert named - targets == set()


def test_every_setting_exists() -> None:
    variables = {f"ROSSMANN_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    names = set(re.findall(r"\bROSSMANN_[A-Z][A-Z_]*[A-Z]\b", "\n".join(TEXTS.values())))
    assert names - variables == set()


def test_every_module_that_is_run_exists() -> None:
    modules = set(re.findall(r"python -m (benchmarks[\w.]*)", "\n".join(TEXTS.values())))
    paths = [REPOSITORY / module.replace(".", "/") for module in modules]
    assert [str(path) for path in paths if not path.with_suffix(".py").exists() and not path.is_dir()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_of_the_repository_leads_to_one(page: str) -> None:
    """Those within docs/ are checked when the site is built."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", TEXTS[page])
    files = links if not page.startswith("docs/") else [link for link in links if link.startswith("../")]
    assert [link for link in files if not (REPOSITORY / page).parent.joinpath(link).exists()] == []
