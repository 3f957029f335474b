"""What the endpoint returns, as types."""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from rossmann.journal import JournalHealth
from rossmann.serving.server.errors import Problem
from rossmann.serving.server.loaded_model import LoadedModel

DETAILS_HIDDEN = "callers with an API key see the details"


class Error(BaseModel):
    """Why there is no forecast: all problems in one sentence, and one by one."""

    error: str
    problems: list[Problem]
    request_id: str


class ForecastRow(BaseModel):
    """The forecast of one day of one store, with its lower and upper bound, and with its quantiles if requested."""

    store: int | str  # its label, where the chain's files have labels
    date: date
    lead_days: int
    forecast: float
    lower: float | None
    upper: float | None
    quantiles: dict[str, float] | None = Field(
        None, description="By name, ascending: q05 is exceeded with a probability of 95 %. Only if requested."
    )


class Forecasts(BaseModel):
    """Forecasts, and the model and the snapshot that they come from."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: int
    snapshot: str
    origin: date
    request_id: str
    forecasts: list[ForecastRow]


class PartOfTerm(BaseModel):
    """A cause of a forecast, as an effect on its logarithm and as an amount."""

    name: str
    log_effect: float
    amount: float


class TermOfForecast(PartOfTerm):
    """The same, with the parts that it is the sum of, if there are any."""

    parts: list[PartOfTerm]


class EarlierInputs(BaseModel):
    """Which model, data and plan the forecast to compare with is made from."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: int
    snapshot: str
    origin: date = Field(description="Last day with known sales.")
    is_truncated: bool = Field(
        description="No snapshot ends on this day: the loaded snapshot was truncated here and has later corrections."
    )
    plan: str | None = Field(description="Null: the published plan.")


class Movement(BaseModel):
    """Why a forecast moved. Its causes are new actuals, a changed plan and a changed model; their sum is the change."""

    inputs: EarlierInputs = Field(alias="from")
    before: float
    after: float
    actuals: float
    plan: float
    model: float


class Explanation(BaseModel):
    """Why the forecast of a store's day is what it is. It is the sum of the amounts of its terms."""

    store: int | str  # its label, where the chain's files have labels
    date: date
    lead_days: int
    forecast: float
    closed: bool
    terms: list[TermOfForecast] = Field(description="The usual level first; none on a closed day.")
    movement: Movement | None = Field(None, description="Only if the request names since or since_version.")
    notes: list[str] | None = Field(None, description="What a reader of the movement must know; only with it.")


class Explanations(BaseModel):
    """The reasons of forecasts, and the model and the snapshot that they come from."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: int
    snapshot: str
    origin: date
    request_id: str
    explanations: list[Explanation]


class Model(BaseModel):
    """The loaded model, how it was trained and backtested, and the snapshot that it forecasts from."""

    model_config = ConfigDict(protected_namespaces=())

    model_version: int
    candidate: str
    loss: str
    train_snapshot: str
    train_end: date
    rmspe: dict[str, float]
    coverage: float
    code_version: str
    run_id: str
    snapshot: str
    origin: date
    snapshot_created: str
    stores: int

    @staticmethod
    def of(model: LoadedModel) -> "Model":
        """The description of a loaded model."""
        card, snapshot = model.card, model.snapshot
        return Model(
            model_version=model.version,
            candidate=card.candidate,
            loss=card.loss,
            train_snapshot=card.snapshot,
            train_end=date.fromisoformat(card.train_end),
            rmspe=card.rmspe,
            coverage=card.coverage,
            code_version=card.code_version,
            run_id=card.run_id,
            snapshot=snapshot.fingerprint,
            origin=model.state.origin.item(),
            snapshot_created=snapshot.created,
            stores=len(model.state.store_numbers),
        )


class Health(BaseModel):
    """The process is alive."""

    alive: bool = True


class JournalStatus(BaseModel):
    """Whether forecasts are being written to the journal. `problem` says why not; null if they are."""

    pending_rows: int
    lost_rows: int
    failures: int
    problem: str | None


class Readiness(BaseModel):
    """What is loaded. `load_error` says why the last requested version or snapshot is not; null if it is."""

    model_config = ConfigDict(protected_namespaces=())

    ready: bool
    model_version: int | None
    snapshot: str | None
    origin: date | None
    load_error: str | None
    journal: JournalStatus

    @staticmethod
    def of(model: LoadedModel | None, load_error: str | None, journal: JournalHealth) -> "Readiness":
        """The readiness of a process; without a model it is not ready."""
        status = JournalStatus(
            pending_rows=journal.pending_rows,
            lost_rows=journal.lost_rows,
            failures=journal.failures,
            problem=journal.problem,
        )
        return Readiness(
            ready=model is not None,
            model_version=model.version if model else None,
            snapshot=model.snapshot.fingerprint if model else None,
            origin=model.state.origin.item() if model else None,
            load_error=load_error,
            journal=status,
        )

    def without_details(self) -> "Readiness":
        """For callers without an API key: that there is an error, but not its text, which may contain addresses."""
        journal = self.journal.model_copy(update={"problem": self.journal.problem and DETAILS_HIDDEN})
        return self.model_copy(update={"load_error": self.load_error and DETAILS_HIDDEN, "journal": journal})
