"""What a store holds, in short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

DAY = datetime(2026, 3, 10, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, WHOLE_DAY = timedelta(hours=1), timedelta(days=1)


def ids(table: pa.Table) -> list[str]:
    return table["image_id"].to_pylist()


def parquet_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))
