"""The page of all commands and options, from the command itself."""

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from flows.cli.commands import app

HEAD = """# Commands

Every command and option of `rossmann`, from the command itself; `rossmann COMMAND --help` shows the same.
[Operations](operations.md#command-line) says which one to use when, and what all of them share."""


def command_reference() -> str:
    """Markdown with a section for each command."""
    sections = [_section(f"rossmann {name}", command) for name, command in commands(typer.main.get_command(app))]
    return "\n\n".join([HEAD, *sections])


def commands(group: TyperGroup, prefix: str = "") -> list[tuple[str, TyperCommand | TyperGroup]]:
    """Every command and subcommand with its name, in the order of their names."""
    pairs: list[tuple[str, TyperCommand | TyperGroup]] = []
    for name, command in sorted(group.commands.items()):
        pairs.append((f"{prefix}{name}", command))
        if isinstance(command, TyperGroup):
            pairs += commands(command, f"{prefix}{name} ")
    return pairs


def _section(name: str, command: TyperCommand | TyperGroup) -> str:

    rows = [_row(each) for each in command.params if each.name not in ("help", "install_completion")]
    table = "\n| option | default | meaning |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    return f"## {name}\n\n{command.help or ''}\n{table}"


def _row(parameter: TyperArgument | TyperOption) -> str:
    """One option or argument: its names and value, its default, and its help text."""
    value = parameter.metavar or parameter.name.upper()
    names = ", ".join(parameter.opts)
    is_argument, is_flag = isinstance(parameter, TyperArgument), getattr(parameter, "is_flag", False)
    shown = value if is_argument else names if is_flag else f"{names} {value}"
    default = "required" if parameter.required else "" if parameter.default in (None, False) else parameter.default
    return f"| `{shown}` | {default} | {(parameter.help or '').replace('|', chr(92) + '|')} |"
