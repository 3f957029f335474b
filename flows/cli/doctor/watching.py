"""Whether anything looks for alarms by itself, and whether anybody hears of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from flows.cli.doctor.findings import OK, TIMEOUT_S, WARNING, Finding, Surroundings

NO_SCHEDULE = "all schedules are paused, so nothing looks for alarms by itself"
ACTIVATE = "activate at least that of monitor in the Prefect UI (docs/operations.md, Schedules)"
NOBODY = "nobody is notified of alarms: no ROSSMANN_NOTIFY_… is set"
NOTIFY = "set one (docs/operations.md, Notifications), then rossmann deploy"


def watching(surroundings: Surroundings) -> Iterator[Finding]:
    """The deployments of the workspace are registered, a schedule is active, and alarms have a recipient."""
    api, settings = surroundings.environment.get("PREFECT_API_URL"), surroundings.settings
    if not api or settings is None:
        yield Finding("watching", OK, "not looked at: no Prefect server is named that would run anything by itself")
        return
    if not settings.has_recipient:
        yield Finding("watching", WARNING, NOBODY, NOTIFY)
    try:
        deployments = _deployments(api, settings.workspace.tag)
    except (OSError, ValueError) as error:  # no answer, or one that is not of Prefect
        text = f"the schedules were not looked at, because Prefect's server does not answer ({type(error).__name__})"
        yield Finding("watching", WARNING, text, "start it (make up), or change PREFECT_API_URL")
        return
    active = sum(schedule["active"] for each in deployments for schedule in each["schedules"])
    if not deployments:
        yield Finding("watching", WARNING, "no deployment of this workspace is registered", "rossmann deploy")
    elif not active:
        yield Finding("watching", WARNING, NO_SCHEDULE, ACTIVATE)
    else:
        yield Finding(
            "watching", OK, f"{len(deployments)} deployments are registered, and {active} schedules are active"
        )


def _deployments(api: str, tag: str) -> list[dict[str, Any]]:
    content = json.dumps({"deployments": {"tags": {"all_": [tag]}}}).encode()
    request = Request(f"{api}/deployments/filter", content, {"Content-Type": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read())
