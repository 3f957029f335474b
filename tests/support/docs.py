"""The commands that the documentation shows, a terminal that runs them, and a comparison with the output shown."""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from unittest.mock import patch

from flows.cli.main import main

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "data/README.md"),
    *sorted(str(file.relative_to(REPOSITORY)) for file in (REPOSITORY / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^( *)```console\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(\w*)\$ (.*)")
JSON_KEY = re.compile(r'"\w+":')
EXIT_CODE = re.compile(r"# exit code (\d+)\b")
FINGERPRINT = re.compile(r"\b(?=\w*\d)[0-9a-f]{16}\b")
ASSIGNMENT = re.compile(r"\w+=")
TIMEOUT_S = 300
SHELL_SYNTAX = re.compile(r"[|<>$`*(]")


@dataclass(frozen=True)
class Command:
    """One command of a page, with the prompt before it and the output shown after it."""

    page: str
    prompt: str
    text: str
    output: tuple[str, ...]
    block: int  # number of its block on the page

    @property
    def exit_code(self) -> int:
        """What the page says that it ends with: a comment `# exit code 2`."""
        code = EXIT_CODE.search(self.text)
        return int(code.group(1)) if code else 0


def read_commands(page: str) -> list[Command]:
    """The commands of all `console` blocks of a page, in its order."""
    blocks = [dedent(text) for _, text in BLOCK.findall((REPOSITORY / page).read_text())]
    return [command for number, block in enumerate(blocks) for command in _block_commands(page, number, block)]


def _block_commands(page: str, number: int, block: str) -> list[Command]:
    commands: list[tuple[str, list[str], list[str]]] = []
    for line in block.splitlines():
        prompt = PROMPT.match(line)
        if prompt:
            commands.append((prompt.group(1), [prompt.group(2)], []))
        elif commands and commands[-1][1][-1].endswith("\\"):
            commands[-1][1].append(line)
        elif line.strip():
            assert commands, f"{page}: a console block begins with `{line}`, which is no command"
            commands[-1][2].append(line)
    return [Command(page, prompt, "\n".join(text), tuple(output), number) for prompt, text, output in commands]


def rossmann_calls(text: str) -> list[list[str]]:
    """The words of each call of `rossmann` in a line of a shell."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            calls += [words[1:]] if words[:1] == ["rossmann"] else []
            words = []
        elif words or not ASSIGNMENT.match(word):
            words.append(word)
    return calls


@dataclass
class Terminal:
    """Runs commands one after another, as in one terminal: what `export` and `cd` change stays changed."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: Command) -> str:
        """The output of a command; AssertionError if its exit code is not what the page says."""
        code, output = self._execute(command.text)
        assert code == command.exit_code, f"{command.page}: {command.text}\nexit code {code}: {output}"
        return output

    def _execute(self, text: str) -> tuple[int, str]:
        """Exit code and output; the environment and the folder that a command leaves are those of the next one."""
        with tempfile.TemporaryDirectory() as state:
            script = f'{text}\ncode=$?\nenv -0 >"{state}/environment"\npwd >"{state}/folder"\nexit $code'
            result = subprocess.run(
                ["bash", "-c", script],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT_S,
            )
            variables = Path(state, "environment").read_text().split("\0")
            self.environment = dict(each.split("=", 1) for each in variables if each)
            self.folder = Path(Path(state, "folder").read_text().strip())
        return result.returncode, result.stdout


class QuickTerminal(Terminal):
    """The same with the `rossmann` command in this process, which need not import everything again each time."""

    def _execute(self, text: str) -> tuple[int, str]:
        if not text.startswith("rossmann ") or SHELL_SYNTAX.search(text.split("#")[0]):
            return super()._execute(text)
        outputs = io.StringIO()
        for words in rossmann_calls(text):
            code = _call(words, self.environment, self.folder, outputs)
            if code:
                return code, outputs.getvalue()
        return 0, outputs.getvalue()


def _call(words: list[str], environment: Mapping[str, str], folder: Path, outputs: io.StringIO) -> int:
    """Run the `rossmann` command in this process. Returns its exit code."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        with (
            patch.dict(os.environ, environment, clear=True),
            patch.object(sys, "argv", ["rossmann", *words]),
            redirect_stdout(outputs),
            redirect_stderr(outputs),
        ):
            main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    finally:
        os.chdir(before)
    return 0


def differences(command: Command, output: str) -> list[str]:
    """What a page shows as the output of a command and the command does not print.

    Words are compared line by line and in their order, without numbers, paths and JSON, which may differ; `…` is
    anything. Fingerprints, keys of JSON and lines with nothing but a number must be the same.
    """
    shown = "\n".join(command.output)
    exact = [*FINGERPRINT.findall(shown), *JSON_KEY.findall(shown), *re.findall(r"^\d+$", shown, re.MULTILINE)]
    absent, actual = [each for each in exact if each not in output], _words(output)
    for part in re.split(r"[\n…]", shown):
        words = _words(part)
        if not any(actual[start : start + len(words)] == words for start in range(len(actual) + 1)):
            absent.append(part)
    return [f"{command.text}: {each}" for each in absent]


def _words(text: str) -> list[str]:
    return [word for word in text.split() if re.search(r"[A-Za-z]", word) and not re.search(r'[\d/{]|":', word)]
