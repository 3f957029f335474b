"""The `rossmann` command. Commands load what they show; `console` formats it for people, `documents` as JSON.

Commands import what they need inside their function: `rossmann --help` imports nothing but Typer, and a listing does
not import Prefect.
"""
