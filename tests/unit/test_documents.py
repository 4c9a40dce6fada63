"""Documents of somebody else: whatever is in them, one line or a value, in bounded memory."""

from __future__ import annotations

import pytest

from components.documents import read_json, read_yaml
from components.errors import DatasetError

MERGED = "l0: &l0 {a: 1, b: 2, c: 3}\n" + "".join(
    f"l{level}: &l{level} {{<<: [{', '.join([f'*l{level - 1}'] * 30)}]}}\n" for level in range(1, 9)
)
ALIASED = "l0: &l0 [x, x]\n" + "".join(
    f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 30)}]\n" for level in range(1, 9)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: !!bool foo\n", "not what its tag says"),
        ("a: !!timestamp foo\n", "not what its tag says"),
        ("a: !!int ''\n", "not what its tag says"),
        ("? {a: 1}\n: b\n", "unhashable"),
        ("a: !!python/object:os.system x\n", "python/object"),
        (MERGED, "merge keys repeat others"),
        (ALIASED, "aliases repeat others"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_yaml_that_steers_its_reader_is_refused_in_one_line(text, words, tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=words) as caught:
        read_yaml(path, "a dataset's description")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_merge_keys_of_an_ordinary_file_are_read(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n")
    assert read_yaml(path, "a file")["more"] == {"a": 1, "b": 3}


def test_deep_json_is_refused_in_one_line(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text("[" * 100_000)
    with pytest.raises(DatasetError, match="nested too deeply"):
        read_json(path, "COCO labels")
