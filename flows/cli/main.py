"""The entry point of the `rossmann` command: runs it and turns errors into messages and exit codes."""

import errno
import gc
import sys

from flows.cli.commands import app

MAKE_WRITABLE = "make it writable, or choose another folder by ROSSMANN_DATA_DIR, and run this again"
DISK_ADVICE = {
    errno.ENOSPC: "free some space and run this again",
    errno.EDQUOT: "free some space and run this again",
    errno.EROFS: MAKE_WRITABLE,
    errno.EACCES: MAKE_WRITABLE,
    errno.EPERM: MAKE_WRITABLE,
}


def main() -> None:
    """Exit codes: 0 success, 2 an error that the caller can correct (the message says how), 1 any other error."""
    gc.disable()  # looking for garbage while thousands of modules are imported is a quarter of a listing's time
    try:
        app()
    except Exception as error:
        message = user_message(error) or disk_problem()
        if message is None:
            raise
        sys.stderr.write(f"{message}\n")
        sys.exit(2)
    finally:
        gc.enable()


def user_message(error: Exception) -> str | None:
    """The message for an error that the caller can correct; None for any other."""
    import pydantic

    from rossmann.validation import DataError

    if isinstance(error, DataError):
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, pydantic.ValidationError) and error.title == "Settings":
        return "\n".join(_setting_error(each) for each in error.errors())
    if isinstance(error, OSError):  # a folder where a file should be, a path that cannot be written, …
        return _file_error(error)
    return None


def disk_problem() -> str | None:
    """Why the data folder cannot be written now; None if it can.

    MLflow, Prefect and SQLite report a full or read-only disk by many different errors, without a path.
    """
    from flows.workspace import check_disk
    from rossmann.settings import Settings

    try:
        check_disk(Settings())
    except OSError as error:
        return _file_error(error)
    return None


def _file_error(error: OSError) -> str:
    """The path, what is wrong there, and what to do if it is the disk."""
    advice = DISK_ADVICE.get(error.errno)
    return f"{error.filename}: {error.strerror}; {advice}" if advice and error.filename else str(error)


def _setting_error(error: dict) -> str:
    """One wrong setting: its environment variable, its value unless that is secret, and the reason."""
    from rossmann.settings import Settings

    name = f"ROSSMANN_{'.'.join(map(str, error['loc'])).upper()}"
    secret = "SecretStr" in str(Settings.model_fields[error["loc"][0]].annotation)
    value = " is not set" if error["input"] is None else "" if secret else f" = {error['input']}"
    return f"{name}{value}: {error['msg'].removeprefix('Value error, ')}"
