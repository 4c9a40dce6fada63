"""Combination of several predictions of one image into one: of models, of flips and of tiles.

- `settings`: how it is done, as a form or a YAML file has it; `Ensemble` is what is combined.
- `detections`, `classifications`: the methods, one function and one line of a table each.
- `tiles`: cutting a large image into tiles, and joining what they show.

A task names its methods in `VisionTask.combiners`.
"""
