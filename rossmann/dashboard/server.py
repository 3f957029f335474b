"""Starts the dashboard: Streamlit on one address of this machine, without telemetry and without other sites."""

from pathlib import Path

from streamlit import config
from streamlit.web import bootstrap

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCRIPT = str(Path(__file__).parent / "script" / "main.py")


def run(host: str, port: int) -> None:
    """Serve until a signal ends the process."""
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorLinks": False,  # they would lead to search engines
        "runner.magicEnabled": False,
        "theme.light.primaryColor": "#1a8a7d",
        "theme.dark.primaryColor": "#1a8a7d",
        "theme.paddingTop": "1rem",
        "logger.level": "error",
        "logger.hideWelcomeMessage": True,
    }
    if host in LOOPBACK:
        options["server.allowedHosts"] = list(LOOPBACK)
    config.get_config_options(force_reparse=True, options_from_flags=options)
    from rossmann.dashboard import loading, records  # with the options set: it logs that no server runs yet

    loading.warm()
    records.warm()
    bootstrap.run(SCRIPT, False, [], options)
