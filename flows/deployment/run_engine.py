"""Prefect's engine for one run, with our flow imported before it.

Prefect looks for the flow in the working directory first.

    python -P -m flows.deployment.run_engine

Prefect's runner names the run and the entry point in the environment.
"""

from __future__ import annotations

import importlib
import os
import runpy


def main() -> None:
    """Run what the environment names, as ``python -m prefect.engine`` does."""
    module, _, _ = os.environ["PREFECT__FLOW_ENTRYPOINT"].rpartition(".")
    importlib.import_module(module)
    engine = importlib.import_module("prefect.engine")
    runpy.run_path(str(engine.__file__), run_name="__main__")


if __name__ == "__main__":
    main()
