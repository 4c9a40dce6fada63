"""Promotion by hand as a flow: who may use the Prefect UI decides, with a reason on record."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from components.contracts import Decided, ModelVersion
from flows.config.promote import PromotionConfig
from flows.reporting.evidence import decisions_table
from flows.reporting.links import to_version
from flows.reporting.outcome import Conclusion, concluded
from flows.tasks.decide import decide_by_hand
from flows.tasks.predict import open_registry
from flows.tasks.schedules import start_waiting
from flows.tasks.steps import step


def conclusion(config: PromotionConfig, champion: ModelVersion) -> Conclusion:
    """Sum a decision up: what was done, the champion afterwards, and why."""
    outcome = "rolled back" if config.action == "rollback" else "promoted"
    line = f"version {champion.version} is the champion"
    return Conclusion(champion.name, outcome, "; ".join(filter(None, (line, config.reason))))


@concluded("promotion", "{config.action} {config.name}", conclusion)
def promotion(config: PromotionConfig) -> ModelVersion:
    """Make a version the champion, or go back to the champion before.

    The record says who, when and why.

    Arguments:
        config: the model, what to do, and why.

    Raises:
        FovealError: no such version, none to go back to, or somebody changed the champion
            meanwhile.
    """
    champion = decide(config)
    start_waiting(champion.name)
    publish(champion, open_registry().decisions(config.name))
    return champion


@step("decide by hand", cached=False)
def decide(config: PromotionConfig) -> ModelVersion:
    """Decide as `foveal promote` or `rollback`; once, since a second rollback goes further back."""
    return decide_by_hand(config)


def publish(champion: ModelVersion, decisions: tuple[Decided, ...]) -> None:
    """The champion and the decisions that led there, in the Prefect UI."""
    page = markdown(champion, decisions, to_version(champion))
    create_markdown_artifact(
        key="champion", markdown=page, description="Who is the champion, and why"
    )


def markdown(champion: ModelVersion, decisions: tuple[Decided, ...], link: str) -> str:
    """Write the decisions as a Markdown page, newest first, as `foveal history` shows them."""
    table = decisions_table(decisions[::-1], reasons=True).to_markdown()
    return f"# {champion.name}: champion is version {champion.version}\n\n{link}\n\n{table}"
