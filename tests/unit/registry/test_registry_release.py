"""What a release says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.contracts import Bundle
from components.errors import BudgetError, BundleError, ConfigError, RegistryError
from components.files import sha256_file
from model_registry.description import (
    Release,
    check_files,
    file_hashes,
    flatten,
    metrics_of,
    release_metrics,
    version_tags,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path):
    """A bundle as far as a release looks at it, and a reference."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "bundle.zip").write_bytes(b"zip")
    (tmp_path / "reference.parquet").write_bytes(b"parquet")
    return Bundle(
        tmp_path / "folder", tmp_path / "bundle.zip", sha256_file(tmp_path / "bundle.zip")
    )


@pytest.mark.parametrize("name", ["digits", "a", "Street-Signs_2.1", "0", "x" * 100])
def test_a_plain_name_is_accepted(name, report, files):
    assert Release(name, report, files).name == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "a:b", "../up", ".hidden", "-dash", "ü", "a'b", "x" * 101, "a\n"]
)
def test_a_name_that_is_unsafe_in_a_path_a_url_or_a_filter_is_refused(name, report, files):
    with pytest.raises(ConfigError, match="model name"):
        Release(name, report, files)


def test_what_was_not_measured_is_absent(report):
    failed = metrics_of(report.measurements[2])
    assert set(failed) == {"size_mb"}
    baseline = metrics_of(report.measurements[0])
    assert "speedup" not in baseline
    assert "peak_rss_mb" not in baseline


def test_what_was_measured_keeps_its_value(report):
    chosen = metrics_of(report.of(report.chosen))
    assert chosen["p50_ms"] == 11.7
    assert chosen["map50_95"] == 0.822
    assert (chosen["speedup"], chosen["speedup_low"], chosen["speedup_high"]) == (1.71, 1.65, 1.78)


def test_numbers_that_are_not_finite_are_absent_and_names_are_made_safe(report):
    odd = replace(
        report.measurements[0],
        accuracy={"map50": float("nan"), "ap/tröt!": 0.5, "top1": float("inf")},
    )
    metrics = metrics_of(odd)
    assert metrics["ap/tr_t_"] == 0.5
    assert "map50" not in metrics
    assert "top1" not in metrics


def test_the_release_says_how_it_stands_against_the_baseline(make_plain):
    metrics = release_metrics(make_plain())
    assert metrics["accuracy_drop"] == pytest.approx(0.009)
    assert metrics["noise_floor"] == 0.012


def test_nested_parameters_become_dotted_names():
    assert flatten({"data": {"split": "val", "n": 3}, "seed": None, "a:b": [1]}) == {
        "data.split": "val",
        "data.n": "3",
        "seed": "None",
        "a_b": "[1]",
    }


def test_equal_releases_share_their_key_and_other_benchmarks_or_bundles_do_not(
    make_plain, report, files
):
    key = make_plain().key
    assert make_plain().key == key
    assert make_plain(report=replace(report, noise_floor=0.5)).key != key
    assert make_plain(bundle=replace(files, sha256="0" * 64)).key != key


def test_tags_are_few_and_hashes_prove_which_files_a_version_consists_of(
    make_plain, artifact, files
):
    release = make_plain(tags={"team": "vision"})
    tags, hashes = version_tags(release), file_hashes(release)
    assert tags["team"] == "vision" and len(tags) == 6
    assert tags["bundle_sha256"] == hashes["bundle"] == files.sha256
    assert (hashes["model"], hashes["validation"]) == (artifact.sha256, "a" * 64)


def test_a_tag_that_foveal_sets_itself_is_refused(make_plain):
    with pytest.raises(ConfigError, match="target"):
        version_tags(make_plain(tags={"target": "moon"}))


def test_a_benchmark_that_chose_nothing_makes_no_release(make_plain, report):
    with pytest.raises(BudgetError, match="too slow"):
        version_tags(make_plain(report=replace(report, chosen=None, reasons=("too slow",))))


def test_a_bundle_that_was_changed_is_refused(make_plain, files):
    files.archive.write_bytes(b"other")
    with pytest.raises(BundleError, match="sha256"):
        check_files(make_plain())


def test_a_bundle_or_a_reference_that_is_gone_is_refused(make_plain, files, tmp_path):
    with pytest.raises(RegistryError, match="drift reference"):
        check_files(make_plain(reference=tmp_path / "nowhere.parquet"))
    files.archive.unlink()
    with pytest.raises(BundleError, match="package the model again"):
        check_files(make_plain())


@pytest.fixture
def make_plain(report, files):
    def make(**changes):
        return replace(
            Release("plain", report, files, dataset_hashes={"validation": "a" * 64}), **changes
        )

    return make
