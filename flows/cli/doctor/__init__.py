"""`rossmann doctor`: what on this machine keeps the project from running, and what to do about it.

These modules import only the standard library until a check needs more, so that they also run where the installation is
broken: `python3 -m flows.cli.doctor` works with any Python. A check gets its surroundings and returns findings; the
table of all checks is in `checks.py`.
"""
