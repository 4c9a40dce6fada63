"""A model with four versions, and the embedded store that holds it."""

from __future__ import annotations

import pytest

from model_registry.store import open_store


@pytest.fixture(scope="session")
def store(registry):
    """The same store, as MLflow's own client sees it."""
    return open_store(registry.tracking_uri)


@pytest.fixture
def client(store):
    return store.client


@pytest.fixture
def model(client, store_root, request):
    """Name of a new model with four versions."""
    name = f"decided.{request.node.name[:60].strip('_[]')}"
    client.create_registered_model(name)
    for number in range(4):
        tags = {"model_sha256": f"{number}" * 64, "reference_sha256": "f" * 64}
        client.create_model_version(name, store_root.as_uri(), tags=tags, await_creation_for=0)
    return name
