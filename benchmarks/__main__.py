"""`make bench`: what each stage costs, on samples of several sizes and on the raw files of a folder if one is given.

Each is measured in a process of its own with one thread, without Prefect, Ray and MLflow: the library's own seconds.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

SIZES = (100, 300, 1115, 4460)


def main() -> None:
    """Usage: python -m benchmarks [RAW]"""
    table = Table(title="Stages on one thread", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("data", "stage", "seconds", "CPU s", "rows", "rows per s", "peak MB"):
        table.add_column(name, justify="left" if name in ("data", "stage") else "right", no_wrap=True)
    console = Console(width=None if sys.stdout.isatty() else 120)
    with tempfile.TemporaryDirectory() as folder, console.status("measuring") as status:
        sources = [
            (f"sample, {stores:,} stores", ["--stores", str(stores)], Path(folder, str(stores))) for stores in SIZES
        ]
        sources += [(Path(raw).name, [], Path(raw)) for raw in sys.argv[1:]]
        for name, options, raw in sources:
            status.update(f"measuring {name}")
            for line in stages(raw, options):
                table.add_row(name, line["stage"], f"{line['seconds']:.3f}", f"{line['cpu']:.3f}", f"{line['rows']:,}",
                              f"{line['rows'] / line['seconds']:,.0f}", f"{line['peak_mb']:,.0f}")  # fmt: skip
                name = ""
            table.add_section()
    console.print(table)


def stages(raw: Path, options: list[str]) -> list[dict]:
    """The costs of all stages of one source, in order."""
    command = [sys.executable, "-m", "benchmarks.stages", str(raw), *options]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.run(command, env=one_thread, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in process.stdout.splitlines()]


if __name__ == "__main__":
    main()
