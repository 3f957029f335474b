"""What the reference of the library shows: every name that a package offers, with its docstring as Markdown.

Docstrings are written to be read in the code, as plain text.
"""

import re

import griffe

ENTRY = re.compile(r"^(\w[\w./, ]*?) {2,}(\S.*)$")  # a line of a list of names: "folds      windows of the past"

COMMENT = re.compile(r"[^#\n]  # (.*)")  # at the end of a line


class PlainDocstrings(griffe.Extension):
    """Shapes like `[stores, days]` are no links, and aligned lists of names become lists."""

    def on_object(self, *, obj: griffe.Object, **arguments: object) -> None:
        """Replace the docstring of an object by its Markdown."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


class OfferedNames(griffe.Extension):
    """Every name in a package's `__all__` is shown: also a constant, and what is called like a module beside it."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **arguments: object) -> None:
        """Complete the members of a package and of those in it."""
        loader.resolve_aliases(implicit=True)  # some paths lead through a module that is hidden below
        for package in (pkg, *pkg.modules.values()):
            for name in map(str, package.exports or ()):
                if package.members[name].is_module and name in package.imports:
                    target = loader.modules_collection[package.imports[name]]
                    package.set_member(name, griffe.Alias(name, target, parent=package))
                _describe_constant(package.members[name])


def _describe_constant(member: griffe.Object | griffe.Alias) -> None:
    """Give a constant its comment as docstring: without one it would not be shown."""
    if member.is_attribute and not member.docstring:
        comment = COMMENT.search(member.source)
        text = comment.group(1) if comment else "a constant"
        member.docstring = griffe.Docstring(as_markdown(f"{text[0].upper()}{text[1:]}."))


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
