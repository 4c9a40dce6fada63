"""Work pools: where runs take place beyond the machine that serves them."""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseWorker

from components.errors import ConfigError
from flows.config.deployments import WorkPoolInput


def ensure_pool(client: SyncPrefectClient, wanted: WorkPoolInput) -> None:
    """Make the work pool unless it is there; one that is there stays as it is.

    Its job template is that of the worker, if this type is installed here; else the first worker
    brings it. Prefect would ask a registry in the internet for others, which `docs/decisions/0003`
    rules out.

    Raises:
        ConfigError: it is there with another type.
    """
    try:
        found = client.read_work_pool(wanted.name)
    except ObjectNotFound:
        worker = BaseWorker.get_worker_class_from_type(wanted.type)
        template = worker.get_default_base_job_template() if worker else {}
        client.create_work_pool(
            WorkPoolCreate(name=wanted.name, type=wanted.type, base_job_template=template)
        )
        return
    if found.type != wanted.type:
        raise ConfigError(
            f"work pool {wanted.name} of type {wanted.type}",
            found=f"type {found.type}",
            hint="name another pool in work_pool.name, or write its type",
        )
