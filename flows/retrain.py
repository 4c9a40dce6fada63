"""Retraining: drift, or any other request, leads to a better model in production, by evidence.

new labels → dataset → fine-tune from the champion → the whole chain → gates → promotion or
rejection.

A version brings its own reference and begins without a history, so with a promotion the memory of
the drift ends.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from components.contracts import DatasetVersion, Outcome
from components.errors import BudgetError, BundleError, ConfigError, PassError
from components.printing import counted
from flows.config.retrain import RetrainConfig
from flows.release import release
from flows.reporting import publish
from flows.reporting.outcome import concluded
from flows.reporting.retraining import RetrainSummary
from flows.tasks import gates as gating
from flows.tasks import labelling, stores
from flows.tasks import retrain as learning
from flows.tasks.predict import served_as
from flows.tasks.retrain import Champion
from flows.tasks.steps import Split


@concluded("retrain", "{config.name}: {config.trigger}")
def retrain(config: RetrainConfig) -> RetrainSummary:
    """Train a challenger on new labels, and promote it only if every gate is passed.

    One retraining of a model is in flight at a time, and each event is dealt with once. Without
    enough new labels to learn from and to judge by, the labelling queue is filled, and the flow
    says how many are missing.

    Arguments:
        config: the model, why, the labels and the limits.

    Raises:
        FovealError: no champion, one that cannot be trained further, or labels that do not fit.
    """
    with learning.in_flight(config.name) as mine:
        done = (
            _retrain(config)
            if mine
            else RetrainSummary.not_begun(config, f"one of {config.name} is in flight")
        )
    publish.retraining(config, done)
    return done


def _retrain(config: RetrainConfig) -> RetrainSummary:
    if done := learning.known_answer(config):
        return done
    if reason := learning.cooling_down(config):
        return RetrainSummary.not_begun(config, reason)
    with tempfile.TemporaryDirectory(prefix="foveal-") as scratch:
        champion = learning.fetch_champion(config.name, Path(scratch), config.trust_pickle)
        if champion.untrainable:
            done = _ask_instead(config, champion)
            learning.remember(config, champion.version, done)
            return done
        new = labelling.new_labels(config.name, champion.spec, config.data)
        dataset, count, missing = None, new.count, config.missing(new.count)
        if not missing:
            dataset = labelling.compose(
                config.name, champion.spec, champion.original, new.parts, config.data
            )
            count = dataset.sources["new"]
            missing = config.missing(count, dataset.images.get("recent", 0))
        if dataset is None or missing:
            queued = labelling.ask_for_labels(
                champion.version, champion.model.reference, config.data.queue_size
            )
            done = RetrainSummary.needs_labels(config, count, missing, queued)
        else:
            done = _challenge(config, champion, dataset, new.until, Path(scratch))
        learning.remember(config, champion.version, done)
        return done


def _ask_instead(config: RetrainConfig, champion: Champion) -> RetrainSummary:
    """Fill the labelling queue for a champion that cannot be trained further here.

    Raises:
        ConfigError: the retraining was asked for by hand.
    """
    queued = labelling.ask_for_labels(
        champion.version, champion.model.reference, config.data.queue_size
    )
    if config.trigger == "by hand":
        raise ConfigError(
            "a champion that was released from a checkpoint from which training can go on",
            found=champion.untrainable,
            hint=f"label the {counted(queued, 'image')} of the queue, train elsewhere and release "
            "the result",
        )
    return RetrainSummary.not_trainable(config, champion.version, champion.untrainable, queued)


def _challenge(
    config: RetrainConfig,
    champion: Champion,
    dataset: DatasetVersion,
    read_at: datetime,
    scratch: Path,
) -> RetrainSummary:
    """Train, release, compare, decide."""
    config = learning.on_this_machine(config)
    learning.log_dataset(config.name, dataset)
    trusted = champion.released.model.trust_pickle
    trained = learning.learn(champion.source, dataset, champion.spec, config.training, trusted)
    try:
        released = release(champion.released_again(dataset, trained.checkpoint))
    except (BudgetError, PassError, BundleError) as error:
        return RetrainSummary.unfit(config, champion.version, dataset, str(error))
    made = stores.fetch(config.name, str(released.version), scratch / "challenger")
    challenger = made.version
    learning.log_dataset(config.name, dataset, challenger)
    learning.log_training(challenger, champion, trained, config)
    report = gating.gates(
        champion.served,
        served_as(made),
        made.bundle,
        gating.GateData(
            champion.golden,
            gating.golden_hash(champion.model.bundle, champion.golden.name),
            Split(dataset.data, "recent") if dataset.images.get("recent") else None,
            config.requires_improvement,
        ),
        config.gates,
    )
    publish.gates(report)
    if report.to_measure_again:
        return RetrainSummary.undecided(
            config, champion.version, challenger.version, dataset, report
        )
    decision = gating.decide(challenger, report, learning.rationale_of(report, config, dataset))
    if decision.outcome is Outcome.PROMOTED:
        labelling.mark_learnt(config.name, f"version-{decision.version}", read_at)
    return RetrainSummary.decided(config, decision, dataset)
