"""The pages of the dashboard. Each module has a function `page()`; `rossmann.dashboard.app` lists them."""
