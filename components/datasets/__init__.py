"""Labelled datasets.

- `dataset`: `load_dataset`, pictures with their ground truth; `classes` matches classes by name.
- `formats`: labels in the formats of tools (`DATASET_FORMATS`), written and read back; `checks`:
  their rules.
- `near_duplicates`: pictures that show the same.
- `scenes`: real labelled data for the demo and the tests, made without a download.
"""
