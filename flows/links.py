"""Where a person goes next, as links in artifacts: pages of MLflow, of the endpoint and of the dashboard.

Only of what is configured: a browser does not open the path of a file from a page.
"""

from flows import workspace
from rossmann import registry
from rossmann.settings import Settings


def training(settings: Settings, run_id: str) -> str:
    """To the report and the MLflow run of a training, and to the dashboard. Markdown; empty without any."""
    links = {}
    if settings.mlflow_page:
        pages = registry.run_pages(workspace.registry(settings), run_id)
        links = {title: settings.mlflow_page.rstrip("/") + page for title, page in pages.items()}
    return _markdown(links | _services(settings))


def services(settings: Settings, page: str = "") -> str:
    """To a page of the dashboard, and the documentation of the endpoint. Markdown; empty without any."""
    return _markdown(_services(settings, page))


def _services(settings: Settings, page: str = "") -> dict[str, str]:
    from flows import endpoint  # imports Ray Serve

    cluster = endpoint.serve_cluster(settings)
    dashboard = settings.dashboard_url and "/".join(filter(None, [settings.dashboard_url.rstrip("/"), page]))
    links = {"dashboard": dashboard, "endpoint": f"{cluster.url}/docs" if cluster else None}
    return {text: address for text, address in links.items() if address}


def _markdown(links: dict[str, str]) -> str:
    return "Next: " + " · ".join(f"[{text}]({address})" for text, address in links.items()) + "\n" if links else ""
