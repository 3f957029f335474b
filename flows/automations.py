"""Prefect's automations of deployments/automations.yaml, registered as often as one likes: by name, never twice."""

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

FILE = Path(__file__).parents[1] / "deployments" / "automations.yaml"


def register(settings: Settings) -> list[str]:
    """Make or update every automation; one that notifies exists only where somebody is to be notified. Their names."""
    addressees = [block.save(name, overwrite=True) for name, block in _blocks(settings).items()]
    registered = []
    for definition in yaml.safe_load(FILE.read_text()):
        message = definition.pop("notify", None)
        if message:
            definition["actions"] = [
                {"type": "send-notification", "block_document_id": str(address), **message} for address in addressees
            ]
        _put(definition)
        registered += [definition["name"]] if definition["actions"] else []
    return registered


def _put(definition: dict) -> None:
    with get_client(sync_client=True) as client:
        there = client.read_automations_by_name(name=definition["name"])
    same, *others = [Automation(**each.model_dump()) for each in there] or [None]
    for other in others if definition["actions"] else [each for each in (same, *others) if each]:
        other.delete()
    if not definition["actions"]:
        return
    wanted = Automation(**definition)
    if same:
        wanted.id = same.id
        wanted.update()
    else:
        wanted.create()


def _blocks(settings: Settings) -> dict[str, NotificationBlock]:
    blocks: dict[str, NotificationBlock] = {}
    if settings.notify_webhook:
        blocks["rossmann-webhook"] = CustomWebhookNotificationBlock(
            name="rossmann", url=settings.notify_webhook, json_data={"subject": "{{subject}}", "text": "{{body}}"}
        )
    if settings.notify_slack:
        blocks["rossmann-slack"] = SlackWebhook(url=settings.notify_slack.get_secret_value())
    if settings.notify_teams:
        blocks["rossmann-teams"] = MicrosoftTeamsWebhook(url=settings.notify_teams.get_secret_value())
    if settings.notify_email:
        blocks["rossmann-email"] = SendgridEmail(
            api_key=settings.sendgrid_key.get_secret_value(),
            sender_email=settings.sendgrid_sender,
            to_emails=[settings.notify_email],
        )
    return blocks
