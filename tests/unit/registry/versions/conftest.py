"""MLflow's own client over the embedded store."""

from __future__ import annotations

import pytest

from model_registry.store import open_store


@pytest.fixture(scope="session")
def client(registry):
    """MLflow's own client, to see what anybody would see."""
    return open_store(registry.tracking_uri).client
