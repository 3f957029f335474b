"""Which model serves, why, and how to change that."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from rossmann.dashboard import charts, commands, formats, loading, operation_charts, records
from rossmann.dashboard.formats import bullets, moment, percent
from rossmann.dashboard.tables import percent_column, selected_row
from rossmann.dashboard.timeline import sentence
from rossmann.dashboard.widgets import CHART_PX, columns
from rossmann.registry import CHALLENGER, CHAMPION, RELEASE_ACTIONS, LedgerEntry, RegisteredModel
from rossmann.settings import is_valid_key, key_hash

FIRST_ENTRIES = 10
ROLE_PX, SCORE_PX = 400, 130  # the least width of champion and challenger, and of a score of theirs
CHANGE, RESULT, ATTEMPTS = "change", "change-result", "change-attempts"  # in the session
CHAMPION_ON_PAGE = "champion-on-page"  # in the session: the version that the forms name
SCORES = {"rmspe": "RMSPE", "wql": "WQL", "mape": "MAPE", "bias": "bias", "coverage": "in bounds"}
NO_MODELS = "There is no model yet: train one with `rossmann train`, and release it with `rossmann release`."
NO_KEY = (
    "Nothing can be changed here, because no API key is set. Set `ROSSMANN_API_KEYS` to one or more keys, for the "
    "endpoint and for this dashboard, and start both again; or use `rossmann models rollback` and "
    '`rossmann models promote VERSION --because "…"`.'
)
OWN_FOLDS = (
    "RMSPE is the mean over the folds of the version's own backtest. Versions that were trained on other data have "
    "other folds: a verdict compares two of them on the same ones."
)
NO_TARGET = (
    "There is nothing to roll back to: no champion before version {version} is without a veto. A version that was "
    "rolled back from has one. Promote the version that is to serve; that ends its veto."
)


@dataclass(frozen=True)
class Consent:
    """What a person says before the champion is changed."""

    reason: str
    confirmed: bool
    key: str

    def problem(self, api_keys: Iterable[str]) -> str:
        """What is missing; empty if nothing is."""
        if not self.reason:
            return "Say why: the ledger records it."
        if not self.confirmed:
            return "Confirm what will happen."
        is_valid = is_valid_key(self.key, [key_hash(each) for each in api_keys])
        return "" if is_valid else "This is none of the API keys in ROSSMANN_API_KEYS."


def page() -> None:
    """The page."""
    st.title("Models")
    versions = records.list_models()
    if not versions:
        st.info(NO_MODELS, icon=":material/info:")
        return
    champion, challenger = records.with_alias(CHAMPION), records.with_alias(CHALLENGER)
    left, right = columns(2, ROLE_PX)
    with left:
        _role("Champion", champion, "No version serves: `rossmann release` makes the first one champion.")
    with right:
        nobody = "No version waits for a release: `rossmann train` trains one."
        _role("Challenger", None if challenger == champion else challenger, nobody)
    entries = records.ledger()
    _verdict(entries)
    _versions(versions)
    _ledger(entries)
    _actions(versions, champion)


def _role(title: str, model: RegisteredModel | None, nobody: str) -> None:
    with st.container(border=True):
        st.subheader(title)
        if model is None:
            st.markdown(nobody)
            return
        version, rmspe, coverage = columns(3, SCORE_PX)
        version.metric("Version", model.version)
        rmspe.metric("RMSPE of its backtest", percent(model.card.mean_rmspe))
        coverage.metric("Sales within bounds", percent(model.card.coverage))
        st.caption(f"{model.card.candidate}, trained on sales up to {model.card.train_end}, for {model.card.loss}")
        if model.code_mismatch:
            st.warning("It was fitted by another code version and cannot forecast: `rossmann retrain`.")


def _verdict(entries: tuple[LedgerEntry, ...]) -> None:
    """The newest verdict with all of its reasons."""
    newest = next((each for each in entries if each.action in RELEASE_ACTIONS), None)
    if newest is None:
        return
    st.subheader("Newest verdict")
    st.markdown(f"**{sentence(newest)}**, {moment(newest.at)}")
    st.markdown(bullets(newest.reasons))


def _versions(versions: tuple[RegisteredModel, ...]) -> None:
    """All versions, and the card and scores of one."""
    st.subheader("Versions")
    rows = [
        {
            "version": each.version,
            "role": ", ".join(each.aliases),
            "candidate": each.card.candidate,
            "trained until": each.card.train_end,
            "RMSPE": each.card.mean_rmspe,
            "within bounds": each.card.coverage,
            "loss": each.card.loss,
        }
        for each in versions
    ]
    percents = dict.fromkeys(("RMSPE", "within bounds"), percent_column())
    event = st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=percents, on_select="rerun",
                         selection_mode="single-row", key="versions")  # fmt: skip
    st.caption(OWN_FOLDS)
    position, hint = selected_row(event.selection.rows)
    model = versions[position]
    st.markdown(f"**Version {model.version}**{hint}")
    _details(model)


def _details(model: RegisteredModel) -> None:
    """The scores of one version, and its card."""
    scores, card = st.tabs(["Scores", "Card"])
    with scores:
        left, right = columns(2, CHART_PX)
        with left:
            st.caption("RMSPE by the origin of the fold")
            charts.show(operation_charts.fold_chart(model.card.rmspe), "models-folds")
        with right:
            _leaderboard(model)
    with card:
        fields = vars(model.card) | {"files": len(model.card.files), "backtest_run": model.backtest_run}
        st.json({name: value for name, value in fields.items() if name != "rmspe"} | {"rmspe": model.card.rmspe})


def _leaderboard(model: RegisteredModel) -> None:
    board = records.leaderboard(model.backtest_run)
    if board is None:
        st.caption("The backtest of this version is deleted by now.")
        return
    percents = dict.fromkeys(SCORES.values(), percent_column())
    st.caption("All candidates of its training, the best first")
    st.dataframe(board[list(SCORES)].rename(columns=SCORES), column_config=percents)


def _ledger(entries: tuple[LedgerEntry, ...]) -> None:
    st.subheader("Ledger")
    if not entries:
        st.caption("No decision was made yet.")
    for entry in entries[: None if st.session_state.get("all-decisions") else FIRST_ENTRIES]:
        with st.expander(f"{moment(entry.at)} · {sentence(entry)}"):
            st.markdown(bullets(entry.reasons))
    if len(entries) > FIRST_ENTRIES:
        st.toggle(f"Show all {len(entries)}", key="all-decisions")


def _actions(versions: tuple[RegisteredModel, ...], champion: RegisteredModel | None) -> None:
    """Rollback and promotion, for who has an API key."""
    st.subheader("Change the champion")
    if not loading.settings().api_keys:
        st.info(NO_KEY, icon=":material/lock:")
        return
    _finish_change()
    if result := st.session_state.get(RESULT):
        box, icon = (st.success, "check_circle") if result.succeeded else (st.error, "error")
        box(formats.capitalise(result.text), icon=f":material/{icon}:")
    current = champion.version if champion else None
    # When the button was pressed: another version may be champion by now.
    champion_on_page = st.session_state.get(CHAMPION_ON_PAGE, current)
    st.session_state[CHAMPION_ON_PAGE] = current
    left, right = columns(2, CHART_PX)
    with left:
        _rollback_form(champion, champion_on_page)
    with right:
        _promotion_form([each.version for each in versions if each != champion], champion_on_page)


def _rollback_form(champion: RegisteredModel | None, champion_on_page: int | None) -> None:
    if champion is None:
        return
    target = records.rollback_target(champion.version)
    if target is None and champion_on_page == champion.version:
        st.info(NO_TARGET.format(version=champion.version), icon=":material/info:")
        return
    with st.form("rollback"):
        target_text = "the champion before it" + (f", version {target}" if target else "")
        st.markdown(f"**Roll back from version {champion.version}** to {target_text}")
        consent = _consent("rollback", "The champion before serves, and the endpoint follows")
        if st.form_submit_button("Roll back", icon=":material/undo:"):
            _change(["rollback"], consent, champion_on_page)


def _promotion_form(others: list[int], champion_on_page: int | None) -> None:
    if not others:
        return
    with st.form("promotion"):
        st.markdown("**Promote** another version")
        version = st.selectbox("Version", others, key=_key("promotion-version"))
        consent = _consent("promotion", "It serves whatever its verdict, and the endpoint follows")
        if st.form_submit_button("Promote", icon=":material/publish:"):
            _change(["promote", str(version)], consent, champion_on_page)


def _consent(name: str, consequence: str) -> Consent:
    """Reason, confirmation and API key, as they are typed."""
    reason = st.text_input("Why, for the ledger", key=_key(f"{name}-reason"))
    confirmed = st.checkbox(consequence, key=_key(f"{name}-confirmed"))
    key = st.text_input("API key", type="password", key=_key(f"{name}-key"))
    return Consent(reason.strip(), confirmed, key.strip())


def _key(name: str) -> str:
    """The key of a field, which is another one after each change: then the field is empty."""
    return f"{name}-{st.session_state.get(ATTEMPTS, 0)}"


def _change(command: list[str], consent: Consent, champion_on_page: int | None) -> None:
    """Change the champion by the command that an operator would type, and show the page anew.

    A second click while the change is made starts no other one.
    champion_on_page: the champion that the person has seen; if another one serves by now, nothing is changed.
    """
    if problem := consent.problem(each.get_secret_value() for each in loading.settings().api_keys):
        st.error(problem)
        return
    instead_of = ["--instead-of", str(champion_on_page)] if champion_on_page else []
    if CHANGE not in st.session_state:
        st.session_state[CHANGE] = commands.start("models", *command, "--because", consent.reason, *instead_of)
    _finish_change()


def _finish_change() -> None:
    """Wait for the change that is being made, if there is one, and show the page anew: its result, and empty forms."""
    change = st.session_state.get(CHANGE)
    if change is None:
        return
    with st.spinner("Changing the champion; an endpoint needs up to five minutes …"):
        result = change.result()
    del st.session_state[CHANGE]
    st.session_state[RESULT] = result
    st.session_state[ATTEMPTS] = st.session_state.get(ATTEMPTS, 0) + 1
    records.clear_models()
    st.rerun()
