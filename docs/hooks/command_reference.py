"""The page of all commands and options, from the command itself."""

import typer
from click import Argument, Command, Context, Group, Option

from flows.cli.commands import app


def command_reference() -> str:
    """Markdown with a section for each command."""
    root = typer.main.get_command(app)
    sections = [_section(f"rossmann {name}", command) for name, command in _commands(root)]
    head = (
        "# Commands\n\nEvery command and option of `rossmann`, from the command itself; `rossmann COMMAND --help` shows "
        "the same. [Operations](operations.md#command-line) says which one to use when, and what all of them share."
    )
    return "\n\n".join([head, *sections])


def _commands(group: Group, prefix: str = "") -> list[tuple[str, Command]]:
    """Every command and subcommand with its name, in the order of their names."""
    pairs: list[tuple[str, Command]] = []
    for name, command in sorted(group.commands.items()):
        pairs.append((f"{prefix}{name}", command))
        if isinstance(command, Group):
            pairs += _commands(command, f"{prefix}{name} ")
    return pairs


def _section(name: str, command: Command) -> str:
    context = Context(command, info_name=name)
    rows = [_row(each, context) for each in command.params if isinstance(each, Argument | Option)]
    table = "\n| option | default | meaning |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    return f"## {name}\n\n{command.help or ''}\n{table}"


def _row(parameter: Argument | Option, context: Context) -> str:
    value = parameter.make_metavar(context)
    if isinstance(parameter, Argument):
        return f"| `{value}` | – | {getattr(parameter, 'help', '') or ''} |"
    names = ", ".join(parameter.opts)
    shown = f"{names} {value}" if not parameter.is_flag else names
    default = "required" if parameter.required else parameter.default
    return f"| `{shown}` | {'' if default in (None, False) else default} | {_escape(parameter.help or '')} |"


def _escape(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;")
