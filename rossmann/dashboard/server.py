"""Starts the dashboard: Streamlit on one address of this machine, without telemetry and without other sites."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from streamlit import config, file_util

from rossmann.validation import DataError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SCRIPT = str(Path(__file__).parent / "script" / "main.py")
# Opened at the address of a page, Streamlit's client looks for the server below that address first, where it is not.
# The server is beside the page, also behind a proxy that serves the dashboard under a path.
SERVER_ADDRESS = "<script>window.__streamlit = {BACKEND_BASE_URL: String(new URL('.', location.href))}</script>"


def require_free_port(host: str, port: int) -> None:
    """DataError if something else listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            remedy = "end what listens there, or choose another one with --port"
            raise DataError(
                f"the dashboard cannot listen on port {port} of {host} ({error.strerror}): {remedy}"
            ) from error


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
    from rossmann.dashboard import app, loading, records  # with the options set: it logs that no server runs yet

    loading.warm()
    records.warm()
    sys.argv = [SCRIPT]  # Streamlit looks for modules and options in the folder of this file
    st.App(SCRIPT, routes=[_page_route(path) for path in app.SUB_PATHS]).run(config=options)


def _page_route(path: str) -> Route:
    """The HTML of Streamlit at the address of a page, which says where the server is."""
    index = Path(file_util.get_static_dir(), "index.html").read_text()
    html = index.replace("<head>", f"<head>{SERVER_ADDRESS}", 1)

    def page(_: Request) -> Response:
        return HTMLResponse(html, headers={"Cache-Control": "no-cache"})

    return Route(f"/{path}", page)
