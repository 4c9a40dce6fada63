"""Two versions are compared metric by metric."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.contracts import (
    Gate,
    GateReport,
    Verdict,
)
from model_registry import MetricPair, Rationale

pytestmark = pytest.mark.slow


def test_two_versions_are_compared_metric_by_metric(registry, report, make_release):
    registry.log_release(make_release("pair"))
    other = replace(
        report,
        measurements=(report.measurements[0], replace(report.measurements[1], peak_rss_mb=210.0)),
    )
    registry.log_release(make_release("pair", report=other))
    found = registry.compare("pair", 1, "challenger")
    rows = {row.metric: row for row in found.metrics}
    sessions = "measured in two sessions, at two moments of a machine"
    assert rows["p50_ms"] == MetricPair("p50_ms", 11.7, 11.7, sessions)
    assert rows["peak_rss_mb"] == MetricPair("peak_rss_mb", None, 210.0, sessions)
    assert (rows["p50_ms"].difference, rows["peak_rss_mb"].difference) == (None, None)
    assert rows["speedup"].incomparable == "each against its own baseline"
    assert (rows["map50_95"].difference, rows["size_mb"].difference) == (0.0, 0.0), (
        "of the same images, of files"
    )
    assert found.decided is None
    url = registry.comparison_url("pair", 1, 2)
    assert found.url == url
    one, two = registry.versions("pair")
    assert url == (
        "http://127.0.0.1:5000/#/compare-model-versions?name=%22pair%22&runs=%7B%221%22%3A%22"
        f"{one.run_id}%22%2C%222%22%3A%22{two.run_id}%22%7D&workflowType=machine_learning"
    )


def test_what_decided_comes_first_and_what_was_not_measured_alike_is_marked(
    registry, client, make_release
):
    first = registry.log_release(make_release("unlike"))
    registry.promote("unlike", first.version)
    other = {"validation": "f" * 64, "calibration": "b" * 64}
    second = registry.log_release(make_release("unlike", dataset_hashes=other, noise_floor=0.02))
    golden = Gate(
        "golden", 0.81, 0.83, (0.02, 0.01, 0.03), -0.01, 0.006, 400, Verdict.PASS, "better"
    )
    dark = replace(golden, name="dark", slice_of="golden")
    p95 = Gate("p95_ms", 4.0, 3.8, (0.95, 0.86, 0.97), 1.26, None, 200, Verdict.PASS, "faster")
    passed = GateReport("unlike/1", "unlike/2", (golden, dark, p95))
    registry.promote("unlike", 2, Rationale("drift", gates=passed))
    for sides in ((1, 2), (2, 1)):
        found = registry.compare("unlike", *sides)
        assert (found.decided.number, found.decided.decision.gates) == (2, passed)
    rows = {row.metric: row for row in found.metrics}
    assert (
        rows["map50_95"].incomparable
        == f"measured on other validation images, sha256 {'f' * 12} and {'a' * 12}"
    )
    assert rows["map50_95"].difference is None and "gate.v1-v2.golden" not in rows
    paired = [
        {
            key: value
            for key, value in client.get_run(version.run_id).data.metrics.items()
            if key.startswith("gate.")
        }
        for version in (first, second)
    ]
    assert paired[0] == {"gate.v1-v2.golden": 0.81, "gate.v1-v2.p95_ms": 4.0}
    assert paired[1] == {"gate.v1-v2.golden": 0.83, "gate.v1-v2.p95_ms": 3.8}
