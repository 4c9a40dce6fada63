"""Promotion by hand as a flow: who is allowed to use the Prefect UI decides there, with a reason for the record."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from components.contracts import Decided, ModelVersion
from flows.config.promote import PromotionConfig
from flows.reporting.decisions import DECISION_HEADINGS, decision_cells
from flows.reporting.formats import table_of
from flows.reporting.links import to_version
from flows.reporting.outcome import Conclusion, concluded_as
from flows.tasks.decide import decide_by_hand, open_registry
from flows.tasks.schedules import start_waiting
from flows.tasks.steps import step


def conclusion(config: PromotionConfig, champion: ModelVersion) -> Conclusion:
    """Sum a decision up: what was done, the champion afterwards, and why."""
    outcome = "rolled back" if config.action == "rollback" else "promoted"
    line = f"version {champion.version} is the champion"
    return Conclusion(champion.name, outcome, "; ".join(filter(None, (line, config.reason))))


@flow(
    name="promotion",
    flow_run_name="{config.action} {config.name}",
    validate_parameters=True,
    description="Make a version the champion, or go back to the champion before.",
)
@concluded_as(conclusion)
def promotion(config: PromotionConfig) -> ModelVersion:
    """Make a version the champion, or go back to the champion before; the record says who, when and why.

    Arguments:
        config: the model, what to do, and why.

    Raises:
        FovealError: no such version, none to go back to, or somebody changed the champion meanwhile.
    """
    champion = decide(config)
    start_waiting(champion.name)
    publish(champion, open_registry().decisions(config.name))
    return champion


@step("decide by hand", cached=False)
def decide(config: PromotionConfig) -> ModelVersion:
    """Decide as `foveal promote` and `foveal rollback` do; once, since a second rollback goes further back."""
    return decide_by_hand(config)


def publish(champion: ModelVersion, decisions: tuple[Decided, ...]) -> None:
    """The champion and the decisions that led there, in the Prefect UI."""
    page = markdown(champion, decisions, to_version(champion))
    create_markdown_artifact(key="champion", markdown=page, description="Who is the champion, and why")


def markdown(champion: ModelVersion, decisions: tuple[Decided, ...], link: str) -> str:
    """The decisions as a Markdown page, newest first, with all that `foveal history` shows."""
    rows = [(*decision_cells(one), "; ".join(one.decision.reasons)) for one in reversed(decisions)]
    lines = [f"# {champion.name}: champion is version {champion.version}", "", link]
    return "\n".join([*lines, *table_of((*DECISION_HEADINGS, "why"), rows)])
