"""Shards that are done elsewhere: the same tables, whoever does them and in whatever order."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contracts import Budget, Precision, Target, Variant
from components.errors import ModelError, UnavailableError
from components.images.lists.image_table import list_with_columns
from components.images.sources import list_images
from components.inference import BatchSettings, run_batch
from flows.config.release import Thresholds
from flows.tasks.predict import Served, on_cluster

pytestmark = pytest.mark.slow

CPU = Target("test", "", ("onnxruntime",), "cpu", 1, (Precision.FP32,), Budget())
STEADY = ["image_id", "uri", "status", "sha256", "model"]


def run(photos, detector, output, spread=None, **listeners):
    model = Variant("colours/1", detector, "onnxruntime")
    settings = BatchSettings(threads=1, batch=3, shard_images=4, spread=spread)
    return run_batch(list_images(photos), model, output, settings=settings, **listeners)


def elsewhere(work, shards):
    """Backwards, by a copy of the work that went through bytes, as to another process."""
    copy = pickle.loads(pickle.dumps(work))  # noqa: S301 - our own
    for shard in reversed(shards):
        copy(shard)
        yield shard


def test_shards_that_are_done_elsewhere_give_the_same_tables(photos, detector, tmp_path):
    told = []
    here = run(photos, detector, tmp_path / "here")
    there = run(
        photos,
        detector,
        tmp_path / "there",
        spread=elsewhere,
        progress=lambda done, total: told.append((done, total)),
    )
    assert pq.read_table(there.images, columns=STEADY).equals(
        pq.read_table(here.images, columns=STEADY)
    )
    assert pq.read_table(there.detections).equals(pq.read_table(here.detections))
    assert told == [(2, 10), (6, 10), (10, 10)]


def listed(photos, tmp_path):
    """A list of the photos with a column of its own, a row for each."""
    paths = [str(path) for path in sorted(photos.iterdir(), reverse=True)]
    table = pa.table({"path": paths, "site": pa.array(range(len(paths)), pa.int8())})
    pq.write_table(table, tmp_path / "list.parquet")
    return list_with_columns(tmp_path / "list.parquet")


def run_list(sources, detector, output, spread=None):
    model = Variant("colours/1", detector, "onnxruntime")
    settings = BatchSettings(threads=1, batch=3, shard_images=4, spread=spread, parts=True)
    return run_batch(sources, model, output, settings=settings)


def test_a_list_with_columns_is_spread_in_parts(photos, detector, tmp_path):
    sources = listed(photos, tmp_path)
    here, there = (
        run_list(sources, detector, tmp_path / str(spread is None), spread)
        for spread in (None, elsewhere)
    )
    assert there.parts == here.parts == 3
    columns = [*STEADY, "site"]
    found = pq.read_table(there.images, columns=columns)
    assert found.equals(pq.read_table(here.images, columns=columns))
    assert found["site"].to_pylist() == list(range(9, -1, -1))
    assert pq.read_table(there.detections).equals(pq.read_table(here.detections))


def test_a_worker_that_is_killed_costs_its_shard(photos, detector, tmp_path):
    from distributed import LocalCluster

    died = tmp_path / "died"
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
        ) as cluster,
        on_cluster(cluster.scheduler_address) as spread,
    ):

        def killing(work, shards):
            return spread(partial(dying, work, died), shards)

        there = run_list(listed(photos, tmp_path), detector, tmp_path / "there", killing)
    assert died.exists(), "no worker died"
    here = run_list(listed(photos, tmp_path), detector, tmp_path / "here")
    assert there.processed == here.processed == 10
    assert pq.read_table(there.detections).equals(pq.read_table(here.detections))
    assert pq.read_table(there.images)["site"].to_pylist() == list(range(9, -1, -1))


def dying(work, died, shard):
    """Do a shard; the first worker that is given the second one dies of it."""
    if shard.start == 4 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    work(shard)


def test_workers_that_do_not_see_the_folder_a_bundle_was_unpacked_in_have_its_model(
    photos, detector, tmp_path, monkeypatch
):
    from distributed import Client, LocalCluster

    def blind(place):
        import sys

        def refuse(event, arguments):
            if event == "open" and str(arguments[0]).startswith(place):
                raise FileNotFoundError(arguments[0])

        sys.addaudithook(refuse)

    scratch = tmp_path / "scratch"
    shutil.copytree(detector.path.parent, scratch)
    mine = Served(
        replace(detector, path=scratch / detector.path.name),
        "onnxruntime",
        CPU,
        "colours/1",
        Thresholds(),
    )
    monkeypatch.setenv("FOVEAL_HOME", str(tmp_path / "root"))
    with LocalCluster(
        n_workers=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        with Client(cluster, set_as_default=False) as client:
            client.run(blind, str(scratch))
        monkeypatch.setenv("FOVEAL_DASK", cluster.scheduler_address)
        assert mine.run(list_images(photos), tmp_path / "root" / "out").processed == 10


def test_a_dask_cluster_does_the_shards_and_says_what_failed(
    photos, detector, make_detector, tmp_path
):
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
        ) as cluster,
        on_cluster(cluster.scheduler_address) as spread,
    ):
        there = run(photos, detector, tmp_path / "there", spread=spread)
        with pytest.raises(ModelError, match="a model that the backend can run"):
            run(photos, make_detector(crash_above=-1), tmp_path / "broken", spread=spread)
    here = run(photos, detector, tmp_path / "here")
    assert pq.read_table(there.detections).equals(pq.read_table(here.detections))
    assert there.processed == here.processed == 10


def test_a_cluster_that_is_not_there_is_named(free_port):
    address = f"tcp://127.0.0.1:{free_port}"
    with (
        pytest.raises(UnavailableError, match=f"a Dask scheduler at {address}"),
        on_cluster(address, connect_s=0.5),
    ):
        pass
