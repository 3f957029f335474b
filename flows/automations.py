"""Registers the deployments of prefect.yaml and the automations of deployments/automations.yaml, both by name.

Repeating it changes nothing. Both match only the workspace of the settings, in place of the variable WORKSPACE_ID.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml
from prefect.automations import Automation
from prefect.blocks.notifications import (
    CustomWebhookNotificationBlock,
    MicrosoftTeamsWebhook,
    NotificationBlock,
    SendgridEmail,
    SlackWebhook,
)
from prefect.client.orchestration import get_client

from rossmann.settings import Settings
from rossmann.validation import DataError

WORKSPACE_ID = "ROSSMANN_WORKSPACE_ID"
POOL, POOL_TIMEOUT_S = "rossmann", 30  # a worker creates the pool of prefect.yaml some seconds after the server starts
FILE = Path(__file__).parents[1] / "deployments" / "automations.yaml"


def deploy(settings: Settings) -> list[str]:
    """Register every deployment of the prefect.yaml in the current folder, with its triggers. Returns their names.

    Prefect fills in the variable when it registers. Raises DataError with Prefect's output if it fails; otherwise that
    is a screen per deployment which says nothing more than its name.
    """
    _wait_for_pool()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = os.environ | {WORKSPACE_ID: settings.workspace.id, "PWD": os.getcwd()}  # a container has no PWD
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise DataError(f"the deployments of {Path.cwd()}/prefect.yaml were not registered:\n{result.stdout.strip()}")
    deployments = yaml.safe_load(Path("prefect.yaml").read_text())["deployments"]
    return [f"{each['entrypoint'].rpartition(':')[2]}/{each['name']}" for each in deployments]


def _wait_for_pool() -> None:
    """Wait until a worker has created the work pool; without one Prefect's own message says what is missing."""
    deadline = time.monotonic() + POOL_TIMEOUT_S
    with get_client(sync_client=True) as client:
        while POOL not in {pool.name for pool in client.read_work_pools()} and time.monotonic() < deadline:
            time.sleep(1)


def register(settings: Settings) -> list[str]:
    """Create or update every automation of the file and return their names.

    An automation that only notifies is deleted while the settings name nobody to notify.
    """
    recipients = [str(block.save(name, overwrite=True)) for name, block in _notification_blocks(settings).items()]
    names = []
    for definition in definitions(settings):
        message = definition.pop("notify", None)
        if message:
            definition["actions"] = [
                {"type": "send-notification", "block_document_id": recipient, **message} for recipient in recipients
            ]
        namesakes = _find_automations(definition["name"])
        if definition["actions"]:
            _create_or_update(Automation(**definition), namesakes)
            names.append(definition["name"])
        else:
            _delete(namesakes)
    return names


def definitions(settings: Settings) -> list[dict]:
    """The automations of the file, for the workspace of the settings."""
    return yaml.safe_load(FILE.read_text().replace(f"{{{{ ${WORKSPACE_ID} }}}}", settings.workspace.id))


def _find_automations(name: str) -> list[Automation]:
    with get_client(sync_client=True) as client:
        return [Automation(**each.model_dump()) for each in client.read_automations_by_name(name=name)]


def _create_or_update(automation: Automation, namesakes: list[Automation]) -> None:
    if not namesakes:
        automation.create()
        return
    first, *duplicates = namesakes
    automation.id = first.id
    automation.update()
    _delete(duplicates)


def _delete(automations: list[Automation]) -> None:
    for automation in automations:
        automation.delete()


def _notification_blocks(settings: Settings) -> dict[str, NotificationBlock]:
    """One block per recipient that the settings name, by the block's name."""
    blocks: dict[str, NotificationBlock] = {}
    if settings.notify_webhook:
        blocks["rossmann-webhook"] = CustomWebhookNotificationBlock(
            name="rossmann", url=settings.notify_webhook, json_data={"subject": "{{subject}}", "text": "{{body}}"}
        )
    if settings.notify_slack:
        blocks["rossmann-slack"] = SlackWebhook(url=settings.notify_slack.get_secret_value())
    if settings.notify_teams:
        blocks["rossmann-teams"] = MicrosoftTeamsWebhook(url=settings.notify_teams.get_secret_value())
    if settings.notify_email and settings.sendgrid_key:  # the settings accept no address without the key
        blocks["rossmann-email"] = SendgridEmail(
            api_key=settings.sendgrid_key.get_secret_value(),
            sender_email=settings.sendgrid_sender,
            to_emails=[settings.notify_email],
        )
    return blocks
