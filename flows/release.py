"""Challenger against champion → verdict → alias → endpoint, and back if it does not answer as the batch.

After train; never cached, though the fits of the race are. Needs a challenger. The champion races with what it knew:
its recipe, learnt at each origin from days that are as old as the champion's last day is today.
"""

from dataclasses import replace

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import endpoint, pages, world
from flows.progress import progress
from rossmann import evaluation, models, registry, training
from rossmann.evaluation import Verdict
from rossmann.registry import CHAMPION, Registered
from rossmann.settings import Settings
from rossmann.validation import DataError


@flow
def release() -> Verdict:
    """Promote the challenger if it beats the champion and the median baseline on the same folds."""
    settings = Settings()
    known = world.models(settings)
    challenger, champion = registry.challenger(known), registry.find(known, CHAMPION)
    if champion and champion.version == challenger.version:
        endpoint.align()  # a run that was killed between the alias and the endpoint
        return Verdict(False, (f"version {challenger.version} is champion already",), ())
    verdict = decide(challenger, champion)
    if not verdict.promote:
        refuse(known, challenger.version, verdict)
        return verdict
    promote(known, challenger.version, verdict)
    try:
        endpoint.align()
    except DataError as error:
        withdraw(known, challenger.version, str(error))
        return replace(verdict, promote=False, reasons=(f"taken back: {error}", *verdict.reasons))
    return verdict


@task(**world.ON_RAY)
def decide(challenger: Registered, champion: Registered | None) -> Verdict:
    """Score challenger, champion and the median baseline on the same folds in one go, and judge."""
    settings = Settings()
    registry.load(world.models(settings), challenger)  # what cannot be loaded is not promoted
    history = world.history(settings, challenger.card.snapshot)
    origins = challenger.card.folds  # on which it won its race
    (median,) = (c for c in models.candidates((), 0, settings.seed) if c.name == evaluation.BASELINE)
    rivals = [training.Entrant(median.name, median)]
    if champion and not champion.made_by_other_code:
        rivals.insert(0, entrant(champion, "champion", champion.days_behind(challenger)))
    racing = [entrant(challenger, "challenger", 0), *rivals]
    with progress("release") as report:
        race = training.race(history, racing, origins, **world.race_terms(settings), progress=report)
    verdict = evaluation.judge(
        race,
        racing[0].name,
        [rival.name for rival in rivals],
        promote_probability=settings.promote_probability,
        slice_margin=settings.slice_margin,
        seed=settings.seed,
    )
    if champion and champion.made_by_other_code:
        unfit = f"champion v{champion.version} was made by other code and cannot serve: the median is the only rival"
        verdict = replace(verdict, reasons=(unfit, *verdict.reasons))
    create_markdown_artifact(pages.verdict(verdict, challenger.version), key="verdict")
    return verdict


def entrant(version: Registered, role: str, age_days: int) -> training.Entrant:
    """A version as it would forecast: its recipe, learnt from days as old as its own last day is."""
    recipe = registry.recipe(world.models(Settings()), version)
    return training.Entrant(f"{role} v{version.version} ({recipe.name})", recipe, age_days)


promote = task(registry.promote, retries=3, retry_delay_seconds=[1, 10, 60], cache_policy=NO_CACHE)
withdraw = task(registry.withdraw, retries=3, retry_delay_seconds=[1, 10, 60], cache_policy=NO_CACHE)
refuse = task(registry.refuse, retries=3, retry_delay_seconds=[1, 10, 60], cache_policy=NO_CACHE)
