"""Tiny real models: ONNX graphs whose predictions can be worked out by hand, and their images."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from components.backends import describe_onnx, save_onnx
from components.contracts import Fit, ModelArtifact, VisionSpec

COLOURS = ("blue", "green", "red")
MakeModel = Callable[..., ModelArtifact]


def _constant(name: str, values: object, dtype: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def _guard(crash_above: float) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Make onnxruntime fail where an image's mean exceeds `crash_above`, and give NaN if black."""
    nodes = [
        helper.make_node("ReduceMean", ["planes", "plane_axes"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "limit"], ["too_bright"]),
        helper.make_node("Cast", ["too_bright"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["nothing", "index"], ["zero"]),  # index 1 is out of bounds
        helper.make_node("Div", ["mean", "mean"], ["one"]),
        helper.make_node("Add", ["zero", "one"], ["flat_factor"]),
        helper.make_node("Unsqueeze", ["flat_factor", "tail_axes"], ["factor"]),
    ]
    constants = [
        _constant("plane_axes", [1, 2, 3], np.int64),
        _constant("limit", crash_above, np.float32),
        _constant("nothing", [0], np.float32),
        _constant("tail_axes", [1, 2], np.int64),
    ]
    return nodes, constants


def _save(
    path: Path,
    nodes: list,
    constants: list,
    output_shape: list,
    spec: VisionSpec,
    *,
    embedding: bool = False,
) -> ModelArtifact:
    head = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        head + nodes,
        "tiny",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8, ["batch", *spec.input_size, 3]
            )
        ],
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, output_shape),
            *(
                [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3])]
                if embedding
                else []
            ),
        ],
        constants,
    )
    save_onnx(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
        path,
        spec,
        (),
    )
    return describe_onnx(path)


@pytest.fixture(scope="session")
def make_detector(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Write a detector of blue, green, red objects in quarters; its score is channel mean / 255.

    Fails on images whose mean exceeds `crash_above`; its output for a black image is NaN.
    """

    def make(
        crash_above: float = 250, class_names: tuple[str, ...] = COLOURS, side: int = 32
    ) -> ModelArtifact:
        nodes, constants = _guard(crash_above)
        cell = side // 2
        centres = [(x, y) for y in (cell / 2, 1.5 * cell) for x in (cell / 2, 1.5 * cell)]
        boxes = np.array([(x, y, cell, cell) for x, y in centres], np.float32).T[None]
        nodes += [
            helper.make_node(
                "AveragePool",
                ["planes"],
                ["cells"],
                kernel_shape=[cell, cell],
                strides=[cell, cell],
            ),
            helper.make_node("Reshape", ["cells", "scores_shape"], ["sums"]),
            helper.make_node("Div", ["sums", "white"], ["raw"]),
            helper.make_node("Mul", ["raw", "factor"], ["scores"]),
            helper.make_node("ReduceSum", ["raw", "class_axis"], ["any"], keepdims=1),
            helper.make_node("Mul", ["any", "nil"], ["blank"]),
            helper.make_node("Add", ["blank", "boxes"], ["batch_boxes"]),
            helper.make_node("Concat", ["batch_boxes", "scores"], ["output"], axis=1),
        ]
        constants += [
            _constant("scores_shape", [0, 3, 4], np.int64),
            _constant("white", 255, np.float32),
            _constant("class_axis", [1], np.int64),
            _constant("nil", 0, np.float32),
            numpy_helper.from_array(boxes, "boxes"),
        ]
        spec = VisionSpec("detect", class_names, (side, side), Fit.LETTERBOX, "yolo")
        return _save(
            tmp_path_factory.mktemp("model") / "detector.onnx",
            nodes,
            constants,
            ["batch", 7, 4],
            spec,
        )

    return make


@pytest.fixture(scope="session")
def make_classifier(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Write a classifier of the brightest channel; its logits are means / 255, times `sharpness`.

    Its `embedding`, if wanted, is the logarithm of the means: minus infinity for a black image.
    """

    def make(
        sharpness: float = 10, class_names: tuple[str, ...] = COLOURS, embedding: bool = False
    ) -> ModelArtifact:
        nodes = [
            helper.make_node("ReduceMean", ["planes", "axes"], ["means"], keepdims=0),
            helper.make_node("Mul", ["means", "gain"], ["output"]),
            *([helper.make_node("Log", ["means"], ["embedding"])] if embedding else []),
        ]
        constants = [
            _constant("axes", [2, 3], np.int64),
            _constant("gain", sharpness / 255, np.float32),
        ]
        spec = VisionSpec("classify", class_names, (32, 32), Fit.STRETCH, "logits")
        path = tmp_path_factory.mktemp("model") / "classifier.onnx"
        return _save(path, nodes, constants, ["batch", 3], spec, embedding=embedding)

    return make


@pytest.fixture(scope="session")
def detector(make_detector: MakeModel) -> ModelArtifact:
    return make_detector()


@pytest.fixture(scope="session")
def classifier(make_classifier: MakeModel) -> ModelArtifact:
    return make_classifier()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten pictures of coarse colour patches, `00.png` to `09.png`, of three sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number, (width, height) in zip(range(10), [(64, 48), (40, 40), (50, 90)] * 4, strict=False):
        patches = rng.integers(20, 230, (4, 4, 3), np.uint8)
        picture = cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(folder / f"{number:02d}.png"), picture)
    return folder
