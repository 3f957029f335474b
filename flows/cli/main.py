"""The entry point of the `rossmann` command: runs it and turns errors into messages and exit codes."""

import gc
import sys
from typing import TYPE_CHECKING

from flows.cli.commands import app

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ERROR_LENGTH = 200  # characters of an error in a message


def main() -> None:
    """Exit codes: 0 success, 2 an error that the caller can correct (the message says how), 1 any other error."""
    gc.disable()  # looking for garbage while thousands of modules are imported is a quarter of a listing's time
    try:
        app()
    except Exception as error:  # those that the caller can correct become a message; all others go on
        message = user_message(error) or outside_message(error)
        if message is None:
            raise
        sys.stderr.write(f"{message}\n")
        sys.exit(2)
    finally:
        gc.enable()


def user_message(error: Exception) -> str | None:
    """The message for an error that the caller can correct; None for any other."""
    import pydantic

    from flows.cli.causes import file_error
    from rossmann.validation import DataError

    if isinstance(error, DataError):
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, pydantic.ValidationError) and error.title == "Settings":
        return "\n".join(_setting_error(each) for each in error.errors())
    if isinstance(error, OSError):  # a folder where a file should be, a path that cannot be written, …
        return file_error(error)
    return None


def outside_message(error: Exception) -> str | None:
    """The message for an error with a cause outside: a disk, a database, a server. None if all of these work."""
    from flows.cli.causes import outside_cause
    from rossmann.settings import Settings

    cause = outside_cause(Settings())
    first_line = next(iter(str(error).splitlines()), "")
    return f"{cause} ({type(error).__name__}: {first_line[:ERROR_LENGTH]})" if cause else None


def _setting_error(error: "ErrorDetails") -> str:
    """One wrong setting: its environment variable, its value unless that is secret, and the reason."""
    from rossmann.settings import Settings

    name = f"ROSSMANN_{'.'.join(map(str, error['loc'])).upper()}"
    secret = "SecretStr" in str(Settings.model_fields[str(error["loc"][0])].annotation)
    value = " is not set" if error["input"] is None else "" if secret else f" = {error['input']}"
    return f"{name}{value}: {error['msg'].removeprefix('Value error, ')}"
