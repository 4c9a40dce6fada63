"""Bars of the layout that no change may undo; `make bench-layout` prints all of its measures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.source_measures import FOLDER_FILES, branches, files_by_folder, read_modules

MODULES = read_modules(Path(__file__).parents[2])
BRANCHES = 1  # lower it with every change that removes some


def test_no_more_files_than_plug_ins_ask_for_the_task_or_the_backend():
    places = [place for module in MODULES for place in branches(module)]
    assert len(places) <= BRANCHES, "\n".join(places)


def test_no_folder_of_source_is_crowded():
    crowded = {
        folder: count for folder, count in files_by_folder(MODULES).items() if count > FOLDER_FILES
    }
    assert crowded == {}
