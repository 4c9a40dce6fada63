"""What `foveal demo` prints."""

from __future__ import annotations

from rich.console import Console

from flows.commands.retrain_screen import show_retraining
from flows.demo import DemoSummary
from flows.screen import places, release_places, variants, window


def show_demo(done: DemoSummary) -> None:
    """The release, the night, what was learnt from it, the next night, and where everything is."""
    out = Console()
    variants(done.release)
    if done.release.window:
        window("day", done.release.window)
    window("night", done.night.window)
    show_retraining(done.retraining, out)
    window("next night", done.next_night.window)
    for row in done.compared:
        change = f"{row.metric} {row.before:.4f} → {row.after:.4f} ({row.after - row.before:+.4f})"
        what = f"{row.split.replace('_', ' ')}, {row.images} images that neither version learnt from"
        out.print(f"  {change} on {what}", highlight=False, soft_wrap=True)
    out.print()
    places(
        [
            ("version", f"{done.next_night.name}/{done.next_night.version} (champion)"),
            *release_places(done.release)[1:],
            ("night's report", done.night.window.report),
            ("next night's", done.next_night.window.report),
            ("why it changed", f"{done.command} history {done.release.name}"),
            ("all of it", f"{done.command} up      then Prefect, MLflow and Evidently show it in the browser"),
        ]
    )
