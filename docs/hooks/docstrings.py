"""Docstrings of the library as Markdown: they are written to be read in the code, as plain text."""

import re

import griffe

ENTRY = re.compile(r"^(\w[\w./, ]*?) {2,}(\S.*)$")  # a line of a list of names: "folds      windows of the past"


class PlainDocstrings(griffe.Extension):
    """Shapes like `[stores, days]` are no links, and aligned lists of names become lists."""

    def on_object(self, *, obj: griffe.Object, **arguments: object) -> None:
        """Replace the docstring of an object by its Markdown."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring as Markdown."""
    lines, in_list = [], False
    for line in text.splitlines():
        entry = ENTRY.match(line)
        if entry:
            lines += [] if in_list else [""]
            lines.append(f"- `{entry.group(1)}`: {_escape(entry.group(2))}")
        else:
            lines.append(_escape(line))
        in_list = bool(entry) or (in_list and line.startswith(" "))
    return "\n".join(lines)


def _escape(line: str) -> str:
    """A line whose brackets are no links; code between backticks stays as it is."""
    parts = line.split("`")
    return "`".join(part if number % 2 else part.replace("[", r"\[") for number, part in enumerate(parts))
