"""Edits of the configuration that Ray writes for HAProxy: what its RAY_SERVE_HAPROXY_… variables cannot set.

Ray has no hook for its template. So each edit states how often it must match: with a version of Ray that writes
something else the proxy does not start, rather than start open.
"""

import json
import re
from dataclasses import dataclass

from rossmann.serving.proxy.contract import CLIENT_HEADER, error_content

EDITED_MARKER = "# edited by rossmann.serving.proxy\n"
REQUEST_TIMEOUT_S = 10  # for the head of a request, and for its body or the first 16 kB of it
SERVE_HEADERS = (
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
)  # switch off its limits
OWN_ERRORS = (408, 502, 503, 504)
_ADAPT = "Ray's haproxy.cfg {}: adapt rossmann/serving/proxy/config.py, or set RAY_SERVE_ENABLE_HA_PROXY=0"


class UnknownConfigError(Exception):
    """Ray's configuration is not as this module expects it."""


@dataclass(frozen=True)
class Edit:
    """Replace a pattern that occurs `count` times."""

    pattern: str
    replacement: str
    count: int = 1

    def apply(self, text: str) -> str:
        """The text with the replacement. Raises UnknownConfigError."""
        text, count = re.subn(self.pattern, self.replacement, text, flags=re.MULTILINE)
        if count != self.count:
            raise UnknownConfigError(_ADAPT.format(f"matches {self.pattern!r} {count} times instead of {self.count}"))
        return text


def edit_config(config: str) -> str:
    """Ray's configuration with all edits; one that has them already stays as it is. Raises UnknownConfigError."""
    if config.startswith(EDITED_MARKER):
        return config
    for edit in _edits():
        config = edit.apply(config)
    return EDITED_MARKER + _with_replicas_at_bind_address(config)


def has_replicas(config: str) -> bool:
    """Whether a configuration has any server."""
    return re.search("^    server ", config, re.MULTILINE) is not None


def _edits() -> tuple[Edit, ...]:
    own_errors = "".join(f"    http-error status {status} {_json_reply(status)}\n" for status in OWN_ERRORS)
    return (
        Edit(r"^ +log \S+ local0 info\n", ""),
        Edit(r"(stats socket \S+) mode 666 ", r"\1 mode 600 "),
        Edit(r"^frontend prometheus\n(?: .*\n)+", ""),
        Edit(r"^listen stats\n(?: .*\n)+", ""),
        Edit(r"^ +errorfile 50[234] .*\n", "", 3),
        Edit(r"^defaults\n", _escape(f"defaults\n    timeout http-request {REQUEST_TIMEOUT_S}s\n{own_errors}")),
        Edit(
            r"^(frontend http_frontend\n    bind .*\n)",
            r"\1" + _escape(
                "    unique-id-format %[uuid()]\n"
                f"    http-request set-header {CLIENT_HEADER} %[src]\n"
                + "".join(f"    http-request del-header {name}\n" for name in SERVE_HEADERS)
                + f"    http-request wait-for-body time {REQUEST_TIMEOUT_S}s\n"
            ),
        ),
        Edit(r"http-request return status 404 .*", _escape(f"http-request return status 503 {_json_reply(503)}")),
    )  # fmt: skip


def _json_reply(status: int) -> str:
    """Content of HAProxy's reply, and its header with the same request id."""
    content = json.dumps(error_content(status, "%[unique-id]"))
    return f"content-type application/json lf-string '{content}' hdr X-Request-ID %[unique-id]"


def _escape(replacement: str) -> str:
    return replacement.replace("\\", r"\\")


def _with_replicas_at_bind_address(config: str) -> str:
    """The servers of the proxy's own host at the address where it listens, if that is one address.

    The replicas listen there, too. Ray writes the loopback address for them. Raises UnknownConfigError.
    """
    bind = re.search(r"^    bind (.*):\d+$", config, re.MULTILINE)
    if bind is None:
        raise UnknownConfigError(_ADAPT.format("has no line `bind HOST:PORT`"))
    if bind[1] in ("*", "localhost"):
        return config
    addresses = re.findall(r"^    server \S+ (\S+):\d+ ", config, re.MULTILINE)
    if len(addresses) != len(re.findall(r"^ *server ", config, re.MULTILINE)):
        raise UnknownConfigError(_ADAPT.format("has servers that are not `server NAME HOST:PORT …`"))
    edit = Edit(
        r"^(    server \S+) (?:127\.0\.0\.1|::1|localhost):",
        rf"\1 {bind[1]}:",
        sum(address in ("127.0.0.1", "::1", "localhost") for address in addresses),
    )
    return edit.apply(config)
