"""How long variants are measured."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from components.settings import ComponentSettings


class BenchmarkSettings(ComponentSettings):
    """How long to measure."""

    model_config = ConfigDict(title="Benchmark")

    rounds: int = Field(7, ge=6, le=100, description="Interleaved rounds; six are the least for an interval.")
    calls: int = Field(20, ge=1, le=1000, description="Timed calls per variant and round.")
    batch: int = Field(8, ge=1, le=256, description="Images per call for the throughput.")
    accept_noise: bool = Field(
        False,
        description="Compare speeds even in a noise floor above 30 %; else the baseline ships then, if it can.",
    )
