"""The whole loop in a demo from nothing: drift, retraining, gates, promotion, quiet monitoring."""

from __future__ import annotations

from benchmarks.demo import run_demo
from benchmarks.figure import Figure, conclude

BAR_S = 480
BARS = {"day": -0.01, "next_night": 0.10}  # least change of mAP50-95, champion after against before


def measure() -> Figure:
    """Run the demo once in an empty storage root and compare the two versions it leaves."""
    bar = (
        f"next night ≥ +{BARS['next_night']:.2f}, day ≥ {BARS['day']:.2f}, next night ok, < "
        f"{BAR_S} s"
    )
    said, seconds, problems = run_demo()
    if said is None:
        return Figure("loop", "the demo failed", bar, False, problems)
    changes = {row["split"]: row["after"] - row["before"] for row in said["compared"]}
    state, ended = said["next_night"]["window"]["state"], said["retraining"]["state"]
    ok = all(changes[split] >= least for split, least in BARS.items())
    ok = ok and (ended, state) == ("promoted", "ok") and seconds < BAR_S
    details = tuple(
        f"{row['split']}: {row['metric']} {row['before']:.4f} → {row['after']:.4f} on "
        f"{row['images']} images"
        for row in said["compared"]
    )
    text = (
        f"mAP50-95 {changes['next_night']:+.4f} on the next night, {changes['day']:+.4f} by day; "
        f"challenger {ended}, next night {state}; {seconds:.0f} s"
    )
    return Figure("loop", text, bar, ok, details)


if __name__ == "__main__":
    conclude(measure)
