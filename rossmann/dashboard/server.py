"""Starts the dashboard: Streamlit on one address of this machine, without telemetry and without other sites."""

from collections.abc import Sequence
from pathlib import Path

from streamlit import config
from streamlit.web import bootstrap

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCRIPT = str(Path(__file__).parent / "script" / "main.py")


def run(host: str, port: int, allowed_hosts: Sequence[str]) -> None:
    """Serve until a signal ends the process.

    allowed_hosts: the names under which browsers may open it, besides loopback addresses and `host`. Under any other
    the page of another site could be this machine's (DNS rebinding).
    """
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.allowedHosts": [*LOOPBACK, host, *allowed_hosts],
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorLinks": False,  # they would lead to search engines
        "runner.magicEnabled": False,
        "theme.light.primaryColor": "#1a8a7d",
        "theme.dark.primaryColor": "#2fae9e",
        "theme.paddingTop": "1rem",
        "logger.level": "error",
        "logger.hideWelcomeMessage": True,
    }
    config.get_config_options(force_reparse=True, options_from_flags=options)
    from rossmann.dashboard import loading, records  # with the options set: it logs that no server runs yet

    loading.warm()
    records.warm()
    bootstrap.run(SCRIPT, False, [], options)
