"""Nights of broken images, or broken backbone output: judged and reported all the same."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import DriftState, Fit, Verdict, VisionSpec
from components.inference.batch.tables import detections_schema, images_schema
from components.monitoring import assess, build_reference, write_report
from components.monitoring.alerts.health import check_health
from components.monitoring.drift.tables import joined, read_reference, read_window
from components.monitoring.report.findings import ReportContext
from components.vision import task_for

pytestmark = pytest.mark.slow

SCHEMA = images_schema(
    task_for(VisionSpec("detect", ("a", "b"), (320, 320), Fit.LETTERBOX, "yolo"))
)
WIDTH = 6


@pytest.fixture
def write_night(write_run, ordinary):
    """Write a run with every column of batch inference; embeddings where `embedded` says so."""

    def write(count, embedded, *, seed=0, failed=0):
        rng, columns = np.random.default_rng(seed), ordinary(count, seed=seed)
        drawn = rng.normal(size=(count, WIDTH))
        vectors = [vector if there else None for vector, there in zip(drawn, embedded, strict=True)]
        made = columns | {"inference_ms": rng.gamma(5, size=count), "embedding": vectors}
        for name in SCHEMA.names:
            if name.startswith("prediction_") and name not in made:
                made[name] = rng.random(count)
        others = [field for field in SCHEMA if field.name != "status"]
        run = write_run(
            {
                field.name: pa.array(made.get(field.name, [None] * count)).cast(field.type)
                for field in others
            },
            failed=failed,
        )
        pq.write_table(detections_schema().empty_table(), run.detections)
        return run

    return write


@pytest.mark.parametrize("embeds", [True, False])
@pytest.mark.parametrize(("readable", "failed"), [(0, 100), (3, 100)])
def test_a_night_of_unreadable_images_is_a_data_fault_with_a_report(
    tmp_path, write_night, embeds, readable, failed
):
    reference = build_reference(write_night(200, [embeds] * 200), tmp_path / "reference.parquet")
    assert ("embedding" in pq.read_schema(reference).names) is embeds
    run = write_night(readable, [embeds] * readable, seed=1, failed=failed)
    decision = assess(run, reference)
    assert decision.state is DriftState.DATA_FAULT
    checks = check_health(run, read_reference(reference), decision).checks
    assert {check.name: check.verdict for check in checks}["data_fault"] is Verdict.FAIL
    report = write_report(
        run, reference, decision, tmp_path / "report", context=ReportContext(checks=checks)
    )
    assert f"{failed} of {failed + readable} images" in report.html.read_text()


def test_one_image_without_an_embedding_costs_only_itself(tmp_path, write_night):
    reference = build_reference(write_night(200, [True] * 200), tmp_path / "reference.parquet")
    run = write_night(150, [False, *[True] * 149], seed=1)
    decision = assess(run, reference)
    assert decision.state is DriftState.OK
    assert {"embedding", "embedding (missing)"} <= {column.column for column in decision.columns}
    assert write_report(run, reference, decision, tmp_path / "report").html.is_file()


def test_a_model_whose_embedding_is_no_longer_finite_is_told_so(tmp_path, write_night):
    reference = build_reference(write_night(200, [True] * 200), tmp_path / "reference.parquet")
    run = write_night(150, [False] * 150, seed=1)
    decision = assess(run, reference)
    assert decision.raised
    moved, unknown = decision.reasons[-2:]
    assert moved.startswith("embedding (missing) moved by D=1.00")
    assert unknown == "embedding is not compared: 0 values, 20 are needed"
    page = write_report(run, reference, decision, tmp_path / "report").html.read_text()
    assert "Compare the model file with its original" in page


def test_a_reference_with_gaps_in_its_embeddings_ranks_what_moved(tmp_path, write_night):
    reference = build_reference(
        write_night(200, np.arange(200) % 4 > 0), tmp_path / "reference.parquet"
    )
    run = write_night(150, np.arange(150) % 4 == 0, seed=1)
    decision = assess(run, reference)
    assert [column.column for column in decision.columns if column.drifted] == [
        "embedding (missing)"
    ]
    assert write_report(run, reference, decision, tmp_path / "report").html.is_file()


def test_tables_with_and_without_embeddings_are_joined(write_night):
    parts = [read_window(write_night(20, [there] * 20)) for there in (True, False)]
    for tables in (parts, parts[::-1]):
        assert joined(tables).columns["embedding"].shape == (40, WIDTH)
    assert joined([parts[1]] * 2).columns["embedding"].shape == (40, 0)
