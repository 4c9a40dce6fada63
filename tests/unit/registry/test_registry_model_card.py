"""The model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from components.contracts import Bundle, Check, Verdict
from model_registry.artifacts.model_card import DESCRIPTION_LIMIT, description, model_card
from model_registry.description import Release


def card_of(report, **changes):
    return model_card(
        Release("tiny", report, Bundle(Path("folder"), Path("zip"), "f" * 64), **changes)
    )


def test_the_card_names_the_variant_the_numbers_and_their_uncertainty(report):
    card = card_of(report, dataset_hashes={"validation": "a" * 64})
    assert "# tiny" in card
    assert "| **int8 · onnxruntime** | 11.7 [11.1, 12.3] | 14.0 | 1.71× [1.65, 1.78] |" in card
    assert "| fp32 · onnxruntime | 20.0 [19.0, 21.0] | 24.0 | baseline |" in card
    assert f"validation: sha256 `{'a' * 64}`" in card
    assert "300 validation images" in card
    assert "1.2%" in card


def test_a_variant_without_numbers_says_why_and_shows_no_zero(report):
    row = next(line for line in card_of(report).splitlines() if line.startswith("| fp16"))
    assert row == "| fp16 · onnxruntime | no kernel for fp16 | – | – | – | – | – |"


def test_a_budget_of_another_device_is_labelled_measured_on_host(report):
    assert "measured on host" not in card_of(report)
    assert "measured on host" in card_of(
        replace(report, target=replace(report.target, measured_on_host=True))
    )


def test_verdicts_say_what_was_not_evaluated(report):
    checks = (
        Check("p95_ms", 14.04, 50.0, Verdict.PASS),
        Check("peak_rss_mb", None, 500.0, Verdict.NOT_EVALUATED, "not measured"),
        Check("size_mb", 60.0, 50.0, Verdict.FAIL),
    )
    chosen = replace(report.of(report.chosen), checks=checks)
    card = card_of(replace(report, measurements=(report.measurements[0], chosen)))
    assert "| p95_ms | 14.040 | 50.000 | pass |" in card
    assert "| peak_rss_mb | – | 500.000 | not evaluated: not measured |" in card
    assert "| size_mb | 60.000 | 50.000 | **fail** |" in card


def test_class_names_cannot_break_the_page(report, artifact):
    hostile = replace(
        artifact, spec=replace(artifact.spec, class_names=("a\n# b", "<script>", "c|d"))
    )
    chosen = replace(report.of(report.chosen), artifact=hostile)
    card = card_of(replace(report, measurements=(report.measurements[0], chosen)))
    assert "a # b, &lt;script>, c\\|d" in card


def test_many_classes_are_counted_not_listed(report, artifact):
    many = replace(
        artifact, spec=replace(artifact.spec, class_names=tuple(f"class{i}" for i in range(1000)))
    )
    card = card_of(
        replace(
            report,
            measurements=(
                replace(report.of(report.chosen), artifact=many),
                *report.measurements[:1],
            ),
        )
    )
    assert "1,000 classes" in card
    assert "and 980 more" in card


def test_a_long_card_is_cut_at_a_line_and_says_where_the_rest_is():
    card = "\n".join(f"line {number}" for number in range(2000))
    cut = description(card)
    assert len(cut) <= DESCRIPTION_LIMIT
    assert "model_card.md" in cut
    kept = cut.partition("\n\n…")[0]
    assert card.startswith(kept + "\n")


def test_a_short_card_is_kept_whole():
    assert description("# short\n") == "# short\n"
