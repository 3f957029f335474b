"""The page at /docs: Swagger UI with its files from the package fastapi-offline, so that it works without internet."""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

FILES = "/docs/files"  # path of the page's scripts, styles and icon


def add_docs_page(app: FastAPI) -> None:
    """Add the page and its files to an application. Its addresses are relative, so it also works behind a prefix."""
    app.mount(FILES, StaticFiles(directory=str(files("fastapi_offline") / "static")))
    folder = FILES.removeprefix("/")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{folder}/swagger-ui-bundle.js",
            swagger_css_url=f"{folder}/swagger-ui.css",
            swagger_favicon_url=f"{folder}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # would send the document's address to its authors
        )
