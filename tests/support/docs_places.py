"""Where each command of the documentation is run."""

import re

from tests.support.docs import Command, read_commands

JOURNEY = (
    "docs/quickstart.md",
    "docs/dataops.md",
    "docs/modelops.md",
    "docs/reasons.md",
    "docs/planning.md",
    "docs/deployment.md",
    "docs/monitoring.md",
    "docs/runbook.md",
    "docs/your-own-data.md",
)
SERVERS = re.compile(r"\bmake (up|deploy|-s env)\b|^prefect |^curl |^rossmann (serve|deploy)\b")
END_TO_END = "tests/test_end_to_end.py::"
REAL_DATA = f"{END_TO_END}test_one_run_leads_from_raw_files_to_forecasts"  # the same commands with a sample
PLAN_FILE = f"{END_TO_END}test_the_rows_of_a_plan_are_forecast_in_its_order_with_its_ids"
INSTALL = "tests/test_stack.py::test_a_venv_is_created_once_and_again_if_incomplete_or_older_than_the_lock"
DOCTOR = "tests/test_doctor.py::test_a_healthy_machine_gets_exit_code_0_and_every_check_reports"
SAMPLE = "tests/test_simulation.py::test_extra_days_continue_the_same_chain"
DATABASES = "tests/test_postgres.py::test_restarts_of_the_database_lose_and_double_nothing"
PLAN_FINDINGS = "tests/test_plan_upload.py::test_the_command_names_every_row_and_writes_all_of_them_to_a_file"
ON_THE_PAGES = "tests/test_docs_journey.py::test_the_commands_of_a_page_run_and_print_what_it_shows"
ELSEWHERE = {  # page and command by a pattern, and the test that runs it or what it runs
    r": make demo\b": "tests/test_docs_commands.py::test_make_demo_runs_the_commands_of_the_quick_start",
    r"README\.md: .*(data/real|data/raw|--kaggle|rossmann alarms|uvx kaggle)": REAL_DATA,
    r"README\.md: .*PLAN\.csv": PLAN_FILE,
    r"README\.md: .*data/next": SAMPLE,
    r"CONTRIBUTING\.md: make install": INSTALL,
    r"CONTRIBUTING\.md: .*doctor": DOCTOR,
    r"CONTRIBUTING\.md: .*pre-commit": "tests/test_docs_commands.py::test_the_configuration_of_pre_commit_is_valid",
    r"planning\.md: .*my-plan": PLAN_FINDINGS,
    r"dashboard\.md: .*--instead-of": ON_THE_PAGES,  # runbook.md has the same
    r": rossmann replay": "tests/test_replay.py::test_the_scores_of_a_policy_are_those_of_its_forecasts",
    r"http\.md: .*Caf": "tests/test_labels.py::test_a_request_may_have_the_covariates_of_the_chain",
    r"containers\.md: ": "tests/test_docs_commands.py::test_the_scripts_and_files_of_containers_are_valid",
    r"databases\.md: ": DATABASES,
}


def is_server_block(command: Command) -> bool:
    """Whether a command is in a block of its page with a command that needs servers."""
    block = [each for each in read_commands(command.page) if each.block == command.block]
    return any(SERVERS.search(each.text) for each in block)


def place_of(command: Command) -> str | None:
    """The test of another place that runs a command; None if there is none."""
    shown = f"{command.page}: {command.text}"
    return next((test for pattern, test in ELSEWHERE.items() if re.search(pattern, shown)), None)
