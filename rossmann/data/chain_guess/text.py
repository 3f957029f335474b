"""A guess as the text of a chain.toml, with its reasons as comments."""

import json
import re
import textwrap
from collections.abc import Iterator

from rossmann.chain import CHAIN_FILE, ISO_DATE
from rossmann.data.chain_guess.values import ChainGuess, CovariateGuess, DaysGuess
from rossmann.storage import Storage
from rossmann.validation import DataError

_WIDTH = 110


def require_no_chain_file(folder: str) -> None:
    """DataError if the folder has a chain.toml."""
    storage = Storage(folder)
    if storage.exists(CHAIN_FILE):
        raise DataError(
            f"{storage.address(CHAIN_FILE)} exists and is not overwritten; edit it, or move it away for a new guess"
        )


def write_chain_file(guess: ChainGuess) -> str:
    """Write the first chain.toml into the guess's folder and return its address. Raises DataError if there is one."""
    require_no_chain_file(guess.folder)
    storage = Storage(guess.folder)
    return storage.write(CHAIN_FILE, chain_text(guess).encode())


def chain_text(guess: ChainGuess) -> str:
    """The text of the chain.toml."""
    sections = (_head, _days, _covariates, _plan, _static, _holidays, _forecast)
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section(guess)))) + "\n"


def _head(guess: ChainGuess) -> Iterator[str]:
    yield from _comment(
        "Written by `rossmann init` from what the files look like. Every line is a guess: check it against its "
        "comment. All keys: docs/your-own-data.md. Next: rossmann retrain --raw THIS-FOLDER"
    )
    for remark in guess.remarks:
        yield from _comment(f"Not used: {remark}.")


def _days(guess: ChainGuess) -> Iterator[str]:
    days = guess.days
    yield "[days]"
    yield from _comment(days.reason)
    yield _files(days.files)
    yield from _entry("store", _text(days.store.column), days.store.reason)
    yield from _entry("date", _date(days.date.column, days.date_format), days.date.reason)
    yield from _entry("sales", _text(days.sales.column), days.sales.reason)
    yield from _optional(days)
    yield from _entry("missing", _text(days.missing), days.missing_reason)
    yield '# accept = ["STORE@2015-06-13"]  # true peaks, which would otherwise be set aside'


def _optional(days: DaysGuess) -> Iterator[str]:
    if days.open:
        yield from _entry("open", _text(days.open.column), days.open.reason)
    else:
        yield '# open = "…"  # no column with 0 and 1 is called open: a store is open on the days on which it has sales'
    if days.customers:
        yield from _entry("customers", _text(days.customers.column), days.customers.reason)


def _covariates(guess: ChainGuess) -> Iterator[str]:
    yield "[known]" if guess.covariates else "# [known]"
    none = "" if guess.covariates else " No file has such a column."
    yield from _comment(f"Covariates that are known before the day: promotions, events, prices.{none}")
    for each in guess.covariates:
        yield from _column(each)


def _plan(guess: ChainGuess) -> Iterator[str]:
    if guess.plan:
        yield "[plan]"
        yield from _comment(guess.plan.reason)
        yield _files(guess.plan.files)
    else:
        last_day, store, date = guess.days.last_day, guess.days.store.column, guess.days.date.column
        yield "# [plan]"
        yield from _comment(
            f"No file has days after {last_day}. One with {store}, {date} and what is known beforehand:"
        )
        yield '# file = "plan.csv"'


def _static(guess: ChainGuess) -> Iterator[str]:
    if guess.static:
        yield "[static]"
        yield from _comment("Attributes of the stores, one row per store.")
        for each in guess.static:
            yield from _column(each)


def _holidays(guess: ChainGuess) -> Iterator[str]:
    holidays = guess.holidays
    if holidays is None:
        yield "# [holidays]"
        yield '# country = "…"  # ISO code, like "EC" or "JP": its public holidays, years ahead'
        return
    yield "[holidays]"
    yield from _comment(f'{holidays.reason}. Instead: country = "…", its ISO code, for the public holidays years ahead')
    yield f"file = {_text(holidays.file)}"
    yield f"date = {_date(holidays.date, holidays.date_format)}"
    yield f"name = {_text(holidays.name)}"
    if holidays.place:
        static, everywhere = (", ".join(map(_text, each)) for each in (holidays.static, holidays.everywhere))
        yield f"place = {{ column = {_text(holidays.place)}, static = [{static}], everywhere = [{everywhere}] }}"


def _forecast(guess: ChainGuess) -> Iterator[str]:
    yield "[forecast]"
    if guess.plan:
        yield from _entry("horizon_days", str(guess.plan.horizon_days), "the days of the plan")
    else:
        yield "# horizon_days = 28"
    yield '# loss = "mae"  # or rmspe, rmsle, total'


def _column(guess: CovariateGuess) -> Iterator[str]:
    yield from _comment(guess.reason)
    keys = {"file": guess.file, "column": guess.column, "kind": guess.kind, "store": guess.store}
    keys["stores"] = "all" if guess.of_all_stores else None
    entries = [f"{key} = {_text(value)}" for key, value in keys.items() if value]
    entries += [f"date = {_date(*guess.date)}"] if guess.date else []
    line = f"{_key(guess.name)} = {{ {', '.join(entries)} }}"
    yield line if guess.is_likely else f"# {line}"


def _entry(key: str, value: str, reason: str) -> Iterator[str]:
    yield from _comment(reason)
    yield f"{key} = {value}"


def _files(files: tuple[str, ...]) -> str:
    return f"file = {_text(files[0])}" if len(files) == 1 else f"files = [{', '.join(map(_text, files))}]"


def _date(column: str, date_format: str) -> str:
    if date_format == ISO_DATE:
        return _text(column)
    return f"{{ column = {_text(column)}, format = {_text(date_format)} }}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    """A TOML string; JSON's escapes are among TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH, break_long_words=False)]
