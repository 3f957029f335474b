"""The page of the HTTP API, from the OpenAPI document of the application itself."""

import tempfile
from pathlib import Path

from rossmann.explain import InputLoaders
from rossmann.journal import Journal
from rossmann.serving.server.app import create_app
from rossmann.serving.server.auth import Limits
from rossmann.serving.server.metrics import Metrics
from rossmann.serving.server.model_host import ModelHost
from rossmann.settings import Settings

HEAD = """# HTTP reference

From the OpenAPI document of the endpoint, which is also [here as JSON](openapi.json) and at `/openapi.json` of a
running endpoint; `/docs` there shows it with examples of its own stores. [HTTP API](http.md) explains how to use it.
If the endpoint has keys, every path needs one but those marked as public.

{description}"""


def openapi() -> dict:
    """The document of an endpoint with API keys, before it has loaded a model."""
    limits = Settings.model_fields
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(f"sqlite:///{folder}/journal.db", Path(folder))
        host = ModelHost(_load_nothing, InputLoaders("", *[_load_nothing] * 3), journal, Metrics())
        sizes = (limits["max_body_bytes"].default, limits["max_rows"].default)
        document = create_app(host, Limits.with_keys(*sizes, ["key"])).openapi()
        journal.close(5)
    return document


def _load_nothing(target: object) -> None:
    raise NotImplementedError(f"the documentation loads no model: {target}")


def http_reference(document: dict) -> str:
    """Markdown with a section for each path, and one for each object in requests and responses."""
    paths = [
        _operation(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    head = HEAD.format(description=document["info"]["description"])
    return "\n\n".join([head, "## Paths", *paths, "## Objects", *schemas])


def _operation(method: str, path: str, operation: dict) -> str:
    """The section of one path."""
    public = " (public)" if operation.get("security") == [] else ""
    lines = [f"### {method.upper()} {path}{public}", operation.get("description", "")]
    if parameters := operation.get("parameters"):
        rows = [
            f"| `{each['name']}` | {each['in']} | {_type(each['schema'])} | {_meaning(each)} |" for each in parameters
        ]
        lines.append("| parameter | in | type | meaning |\n|---|---|---|---|\n" + "\n".join(rows))
    if body := operation.get("requestBody"):
        lines.append(f"Body: {_type(body['content']['application/json']['schema'])}")
    rows = [_response(status, response) for status, response in operation["responses"].items()]
    lines.append("| status | body | meaning |\n|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join(lines)


def _response(status: str, response: dict) -> str:
    content = response.get("content", {})
    body = next((_type(each.get("schema", {})) or name for name, each in content.items()), "")
    return f"| {status} | {body} | {_cell(response['description'])} |"


def _schema(name: str, schema: dict) -> str:
    """The section of one object."""
    required = schema.get("required", [])
    rows = [
        f"| `{field}`{'' if field in required else ' (optional)'} | {_type(each)} | {_meaning(each)} |"
        for field, each in schema.get("properties", {}).items()
    ]
    table = "| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) if rows else ""
    return "\n\n".join([f"### {name}", schema.get("description", ""), table])


def _type(schema: dict) -> str:
    """A type in words; an object of the document is a link to its section."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(each) for each in parts)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{each}`" for each in schema["enum"])
    return " ".join(filter(None, [schema.get("type", ""), f"({schema['format']})" if "format" in schema else ""]))


def _meaning(described: dict) -> str:
    return _cell(described.get("description", ""))


def _cell(text: str) -> str:
    """A text that may stand in a cell of a table."""
    return " ".join(text.replace("|", r"\|").split())
