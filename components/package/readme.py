"""The bundle's README, which is its model card, and its requirements."""

from __future__ import annotations

from components.backends import get_backend
from components.package.manifest import Manifest, Measured
from components.tables import Table, interval, number
from components.vision import task_kind
from components.vision.fit import describe_fit

_FILES = (
    (
        "model.onnx",
        "the model; it takes uint8 images, scaling and normalisation are part of its graph",
    ),
    ("run.py", "the runner: numpy, Pillow or OpenCV, and onnxruntime are all it needs"),
    ("config.json", "backend, threads, batch size, execution providers, thresholds"),
    ("preprocessing.json", "how an image becomes the model's input"),
    ("manifest.json", "model, history, measurements, hashes"),
    ("golden/", "images with the inputs, outputs and predictions that this model gave for them"),
    ("requirements.txt", "what to install on the device"),
    ("SHA256SUMS", "`sha256sum -c SHA256SUMS`"),
)


def describe_bundle(manifest: Manifest) -> str:
    """Return README.md: how to run the bundle, what the model is, and how it was measured.

    It also says what the measurement does not say.
    """
    sections = (_usage(manifest), _model(manifest), _measurements(manifest), _limits(manifest))
    return "\n\n".join(sections) + "\n"


def _usage(manifest: Manifest) -> str:
    files = [(f"`{name}`", what) for name, what in _FILES]
    return f"""# {manifest.name}

{task_kind(manifest.model.spec.task).described} for the target {manifest.target.name}.

```
pip install -r requirements.txt
python run.py --verify           # checksums, then the golden set again
python run.py IMAGE... --json    # one line of JSON an image
```

{Table(("file", "what it is"), files).to_markdown()}"""


def _model(manifest: Manifest) -> str:
    model, spec = manifest.model, manifest.model.spec
    height, width = spec.input_size
    names = ", ".join(spec.class_names[:50]) + (", …" if len(spec.class_names) > 50 else "")
    passes = " → ".join(record.name for record in model.history) or "none recorded"
    return f"""## Model

- Classes ({len(spec.class_names)}): {names}
- Input: {width} × {height} px, {describe_fit(spec)}
- Precision: {model.precision}; passes: {passes}
- sha256: `{model.sha256}`"""


def _measurements(manifest: Manifest) -> str:
    benchmark = manifest.benchmark
    heads = ("variant", benchmark.metric, "p50 ms", "p95 ms", "speed", "size MB", "peak memory MB")
    rows = [
        _row(row, benchmark.metric, ships=row.variant == benchmark.variant)
        for row in benchmark.measured
    ]
    reasons = "\n".join(f"- {reason}" for reason in benchmark.reasons)
    noise = "unknown" if benchmark.noise_floor is None else f"{benchmark.noise_floor:.1%}"
    machine = "; ".join(f"{key} {value}" for key, value in sorted(benchmark.environment.items()))
    return f"""## Measurements

{Table(heads, rows).to_markdown()}

Latency is of one image in memory, from fitting to prediction. Speed is relative to
{benchmark.baseline}, with its 95 % interval; the noise floor of the run was {noise}. Accuracy is
measured on {benchmark.chosen.images} images.

{reasons}

Measured on: {machine}"""


def _row(row: Measured, metric: str, *, ships: bool) -> tuple[str, ...]:
    name = f"**{row.variant}**" if ships else row.variant
    if row.error:
        return (name, f"not measured: {row.error}", "", "", "", "", "")
    latency = row.latency
    return (
        name,
        number(row.accuracy.get(metric), 4),
        interval((latency.p50_ms, latency.p50_low_ms, latency.p50_high_ms)),
        number(latency.p95_ms),
        interval(row.speedup),
        number(row.size_mb),
        number(row.peak_rss_mb, 0),
    )


def _limits(manifest: Manifest) -> str:
    target = manifest.target
    device = (
        f"Time and memory were measured on the host, not on a device of the target {target.name}."
        if target.measured_on_host
        else "Time and memory hold for the machine above, not for another."
    )
    return f"""## What these numbers do not say

- {device}
- The accuracy holds for images like those that it was measured on.
- Weights and training images have licences of their own, which this bundle does not know."""


def list_requirements(manifest: Manifest) -> str:
    """Return requirements.txt: the measured runtime, if the device has it, and an image reader."""
    environment = manifest.benchmark.environment
    runtimes = ["onnxruntime", *get_backend(manifest.backend).bundled]
    lines = [
        f"{name}  # measured with {environment[name]}" if name in environment else name
        for name in runtimes
    ]
    return "\n".join(["numpy", "opencv-python-headless", "pillow", *lines]) + "\n"
