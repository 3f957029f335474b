"""Draws pictures of the documentation: python docs/images/draw.py writes the SVG files beside it.

Colours are variables: a page of the site sets them for its light or dark scheme; elsewhere the system's scheme counts.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

STYLE = """<style>
svg.picture { --line: #57606a; --text: #1f2328; --box: #f6f8fa; --mark: #0f766e; --soft: #ccece8; --warm: #fde8cf; }
@media (prefers-color-scheme: dark) {
svg.picture { --line: #9aa4b2; --text: #e6edf3; --box: #2b303b; --mark: #5eead4; --soft: #134e4a; --warm: #5b3a12; }
}
.picture text { font: 14px system-ui, sans-serif; fill: var(--text); }
.picture .small { font-size: 12px; } .picture .head { font-weight: 600; } .picture .note { fill: var(--line); }
.picture .line { fill: none; stroke: var(--line); stroke-width: 1.5; }
</style>"""
ARROW = (
    '<defs><marker id="{name}-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z" style="fill:var(--line)"/></marker></defs>'
)
SMALL, LINE_HEIGHT = 12, 17


@dataclass
class Picture:
    """A drawing of so many units; each method adds a part."""

    name: str
    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, *lines: str, fill: str = "box") -> None:
        """A box whose first line is its name."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" '
            f'style="fill:var(--{fill});stroke:var(--line)"/>'
        )
        top = y + (height - LINE_HEIGHT * (len(lines) - 1)) / 2 + 5
        for number, line in enumerate(lines):
            style = "head" if number == 0 else "small"
            self.text(x + width / 2, top + number * LINE_HEIGHT, line, style, "middle")

    def text(self, x: float, y: float, text: str, style: str = "", anchor: str = "start") -> None:
        """One line of text."""
        self.parts.append(f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>')

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        """A line through points that ends with a tip."""
        path = " L".join(f"{x} {y}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<path d="M{path}" class="line" marker-end="url(#{self.name}-tip)"{dash}/>')

    def bar(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """A bar without a border."""
        style = f"fill:var(--{fill})"
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" style="{style}"/>')

    def svg(self) -> str:
        """The text of the file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" class="picture">'
        return "\n".join([head, STYLE, ARROW.format(name=self.name), *self.parts, "</svg>"]) + "\n"


def phases() -> Picture:
    """From raw files to forecasts, and back by an alarm."""
    picture = Picture("phases", 900, 330)
    for number, (title, flow) in enumerate(
        [
            ("DataOps", "ingest"),
            ("ModelOps", "train, release"),
            ("Deployment", "forecast, serve"),
            ("Monitoring", "monitor"),
        ]
    ):
        picture.text(30 + 215 * number + 95, 30, f"{number + 1}  {title}", "head", "middle")
        picture.text(30 + 215 * number + 95, 50, flow, "small note", "middle")
    picture.box(30, 70, 190, 56, "raw files", "sales, stores, plan")
    picture.box(30, 180, 190, 56, "snapshot", "validated, one version", fill="soft")
    picture.box(245, 70, 190, 56, "backtests on Ray", "candidates × folds")
    picture.box(275, 180, 160, 56, "verdict", "better than champion?")
    picture.box(460, 70, 190, 56, "champion", "the version that serves", fill="soft")
    picture.box(460, 180, 190, 56, "forecasts", "batch and HTTP, the same")
    picture.box(675, 70, 190, 56, "journal", "what was forecast", fill="soft")
    picture.box(675, 180, 190, 56, "checks", "errors, drift, system")
    picture.arrow((125, 126), (125, 178))
    picture.arrow((220, 200), (232, 200), (232, 98), (243, 98))
    picture.arrow((355, 126), (355, 178))
    picture.arrow((435, 208), (447, 208), (447, 98), (458, 98))
    picture.arrow((555, 126), (555, 178))
    picture.arrow((650, 208), (662, 208), (662, 98), (673, 98))
    picture.arrow((770, 126), (770, 178))
    picture.arrow((770, 236), (770, 285), (259, 285), (259, 128), dashed=True)
    picture.text(555, 305, "alarm: train again, if that is useful", "small note", "middle")
    picture.arrow((125, 236), (125, 318), (840, 318), (840, 240))
    picture.text(134, 309, "actuals of the new days", "small note")
    return picture


def folds() -> Picture:
    """Eight folds of a history of 942 days, each with its past and its 48 days."""
    picture = Picture("folds", 900, 352)
    left, width, days, horizon, count = 110, 760, 942, 48, 8
    scale = width / (days + horizon)
    for number in range(count):
        y = 34 + number * 32
        origin = days - horizon * (number + 1)
        picture.text(left - 12, y + 14, f"fold {number + 1}", "small", "end")
        picture.bar(left, y, origin * scale, 20, "soft")
        picture.bar(left + origin * scale, y, horizon * scale, 20, "mark")
    picture.text(left + 8, 48, "the past that a candidate is fitted on: nothing after the origin", "small")
    y = 34 + count * 32
    picture.text(left - 12, y + 14, "operation", "small head", "end")
    picture.bar(left, y, days * scale, 20, "soft")
    picture.bar(left + days * scale, y, horizon * scale, 20, "warm")
    end = left + days * scale
    picture.arrow((end, 20), (end, y + 30))
    picture.text(end - 8, 16, "last day with sales", "small note", "end")
    picture.text(left, y + 50, "2013-01-01", "small note")
    picture.text(
        left + 150, y + 50, "right end of each bar: the 48 days that it forecasts and is scored on", "small note"
    )
    picture.text(left + width, y + 50, "48 days to come", "small note", "end")
    return picture


def boundaries() -> Picture:
    """The processes, and what crosses from one to the other."""
    picture = Picture("boundaries", 900, 430)
    picture.box(350, 20, 200, 56, "Prefect's server", "runs, schedules, events")
    picture.box(30, 150, 220, 70, "worker", "a process for each flow run", fill="soft")
    picture.box(350, 150, 200, 70, "Ray", "fits, one task each")
    picture.box(650, 150, 220, 70, "endpoint", "2 to 6 replicas, HAProxy", fill="soft")
    picture.box(30, 330, 240, 70, "workspace", "raw, snapshots, models,", "forecasts, alarms")
    picture.box(340, 330, 220, 70, "MLflow's database", "scores, versions, ledger")
    picture.box(640, 330, 240, 70, "journal", "requests, forecasts, accuracy", "lock of the workspace")
    picture.arrow((350, 48), (140, 48), (140, 148))
    picture.text(150, 40, "parameters: paths, versions", "small note")
    picture.arrow((550, 48), (600, 48))
    picture.text(606, 44, "notifications: alarms,", "small note")
    picture.text(606, 60, "outcomes, failed runs", "small note")
    picture.arrow((250, 172), (348, 172))
    picture.text(299, 140, "history,", "small note", "middle")
    picture.text(299, 160, "windows", "small note", "middle")
    picture.arrow((348, 200), (252, 200))
    picture.text(299, 216, "fitted model", "small note", "middle")
    picture.arrow((90, 220), (90, 328))
    picture.text(98, 318, "whole files", "small note")
    picture.arrow((190, 220), (190, 304), (400, 304), (400, 328))
    picture.text(290, 299, "scores, versions", "small note", "middle")
    picture.arrow((225, 220), (225, 274), (690, 274), (690, 328))
    picture.text(440, 269, "batch forecasts, accuracy", "small note", "middle")
    picture.arrow((245, 220), (245, 244), (670, 244), (670, 222))
    picture.text(440, 239, "which version, which snapshot", "small note", "middle")
    picture.arrow((800, 220), (800, 328))
    picture.text(808, 290, "requests and", "small note")
    picture.text(808, 306, "answers", "small note")
    picture.arrow((880, 110), (780, 110), (780, 148))
    picture.text(880, 100, "requests (HTTP, API key)", "small note", "end")
    return picture


def main() -> None:
    """Write every picture."""
    for picture in (phases(), folds(), boundaries()):
        Path(__file__).with_name(f"{picture.name}.svg").write_text(picture.svg())


if __name__ == "__main__":
    main()
