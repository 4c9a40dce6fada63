"""Batch inference on a Dask cluster: its shards, of some hundred images each, are done by the cluster's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from components.errors import UnavailableError
from components.inference.shards import Shard
from components.inference.spread import Spread


@contextmanager
def on_cluster(address: str, *, connect_s: float = 20.0) -> Iterator[Spread | None]:
    """What hands shards to a Dask cluster; None, which does them here, for an empty address.

    Every worker of the cluster must see the storage root by the same path, and have the same Foveal installed.

    Arguments:
        address: of the scheduler, e.g. ``tcp://dask:8786``.
        connect_s: how long to wait for it.

    Raises:
        UnavailableError: `distributed` is not installed, or no scheduler answers.
    """
    if not address:
        yield None
        return
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise UnavailableError(
            "distributed, for FOVEAL_DASK", found=str(error), mend="pip install 'foveal[dask]', or unset FOVEAL_DASK"
        ) from error
    try:
        client = Client(address, timeout=connect_s, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"a Dask scheduler at {address}", found=str(error), mend="start it, or unset FOVEAL_DASK"
        ) from error

    def spread(work: Callable[[Shard], None], shards: Sequence[Shard]) -> Iterator[Shard]:
        shared = client.scatter(work, broadcast=True)
        for future in as_completed(client.map(_do, shards, work=shared, pure=False), loop=client.loop):
            yield future.result()

    with client:
        yield spread


def _do(shard: Shard, work: Callable[[Shard], None]) -> Shard:
    work(shard)
    return shard
