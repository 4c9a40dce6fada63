"""What a classifier's numbers are: by graph, TorchScript, numbers, user, on real images."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from components.backends import get_backend
from components.contracts import Output
from components.errors import ModelError
from components.optimize import ModelOptions, open_model, remarks_on, require_sound
from components.optimize.meaning import Normalisation, StatedMeaning, meaning_of, settle
from components.optimize.outputs import output_of_graph, settle_output
from components.vision import task_for

ONE, HALF = np.array(1, np.float32), np.array(0.5, np.float32)
TAILS = {  # how exporters end a graph: nodes from "logits" to "end", and what the numbers are
    "layer": ([("Identity", ["logits"])], Output.LOGITS),
    "bias": ([("Add", ["logits", "half"])], Output.LOGITS),
    "log_softmax": ([("LogSoftmax", ["logits"])], Output.LOGITS),
    "softmax": ([("Softmax", ["logits"])], Output.SOFTMAX),
    "softmax, moved": (
        [("Softmax", ["logits"]), ("Identity", ["0"]), ("Flatten", ["1"])],
        Output.SOFTMAX,
    ),
    "sigmoid": ([("Add", ["logits", "one"]), ("Sigmoid", ["0"])], Output.SIGMOID),
    "sigmoid, clipped": ([("Sigmoid", ["logits"]), ("Clip", ["0", "zero", "one"])], Output.SIGMOID),
    "hard sigmoid": ([("HardSigmoid", ["logits"])], Output.SIGMOID),
    "softmax in steps": (
        [("Exp", ["logits"]), ("ReduceSum", ["0", "axis"]), ("Div", ["0", "1"])],
        None,
    ),
    "sigmoid in steps": (
        [("Neg", ["logits"]), ("Exp", ["0"]), ("Add", ["1", "one"]), ("Reciprocal", ["2"])],
        None,
    ),
}


@pytest.fixture
def ending_in(write_network):
    """Write the small classifier with another end."""

    def write(tail: str):
        path = write_network()
        model = onnx.load(path)
        nodes = TAILS[tail][0]
        for k, (operator, inputs) in enumerate(nodes):
            model.graph.node.append(
                helper.make_node(operator, inputs, ["end" if k == len(nodes) - 1 else str(k)])
            )
        for name, value in (
            ("one", ONE),
            ("half", HALF),
            ("zero", np.array(0, np.float32)),
            ("axis", np.array([1])),
        ):
            model.graph.initializer.append(numpy_helper.from_array(value, name))
        model.graph.output[0].name = "end"
        onnx.save(model, path)
        return path

    return write


@pytest.mark.parametrize("tail", TAILS)
def test_the_last_operator_says_what_the_outputs_are(tail, ending_in):
    assert output_of_graph(onnx.load(ending_in(tail))) is TAILS[tail][1]


def test_sigmoid_scores_reach_the_user_as_they_are(ending_in, tmp_path):
    artifact = open_model(ending_in("sigmoid"), workdir=tmp_path / "work")
    assert artifact.spec.head == "sigmoid"
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    task = task_for(artifact.spec)
    fitted, frame = task.preprocess(image)
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        outputs = session.run(fitted[None])
    assert abs(outputs[0].sum() - 1) > 0.1
    np.testing.assert_array_equal(task.postprocess(outputs, [frame])[0].probs, outputs[0][0])


def test_a_softmax_that_is_spelled_out_is_seen_from_its_numbers(ending_in, tmp_path):
    assert (
        open_model(ending_in("softmax in steps"), workdir=tmp_path / "work").spec.head
        == "probabilities"
    )


def test_outputs_that_could_be_several_things_are_asked_for_in_one_line(ending_in, tmp_path):
    path = ending_in("sigmoid in steps")
    with pytest.raises(
        ModelError, match=r"numbers from 0\.\d+ to 0\.\d+.*output: softmax .*sigmoid"
    ) as caught:
        open_model(path, workdir=tmp_path / "work")
    assert "\n" not in str(caught.value)
    assert (
        open_model(path, ModelOptions(output=Output.SIGMOID), workdir=tmp_path / "work").spec.head
        == "sigmoid"
    )


@pytest.mark.parametrize(
    ("tail", "output", "message"),
    [
        ("sigmoid", Output.SOFTMAX, "output sigmoid, which the graph"),
        ("sigmoid", Output.LOGITS, "output sigmoid, which the graph"),
        ("softmax", Output.SIGMOID, "output softmax, which the graph"),
        ("layer", Output.SIGMOID, "output logits, which the graph.*sigmoid_logits"),
        ("softmax in steps", Output.LOGITS, "logits, to which a softmax is still to be applied"),
        ("sigmoid in steps", Output.SOFTMAX, "probabilities that sum to 1"),
    ],
)
def test_a_word_that_the_model_contradicts_is_refused(tail, output, message, ending_in, tmp_path):
    with pytest.raises(ModelError, match=message):
        open_model(ending_in(tail), ModelOptions(output=output), workdir=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_logits_may_be_those_of_a_sigmoid_when_the_user_says_so(ending_in, tmp_path):
    artifact = open_model(
        ending_in("layer"), ModelOptions(output=Output.SIGMOID_LOGITS), workdir=tmp_path / "work"
    )
    assert artifact.spec.head == "sigmoid_logits"
    with pytest.raises(ModelError, match=r"head sigmoid_logits, as .* says itself"):
        open_model(artifact.path, ModelOptions(output=Output.LOGITS), workdir=tmp_path)


def test_class_ids_in_place_of_scores_are_refused(write_network, tmp_path):
    path = write_network()
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["label"], axis=1))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["n", 1])
    )
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"class ids, int64.*without its final ArgMax"):
        open_model(path, workdir=tmp_path)


@pytest.mark.parametrize(
    ("shape", "advice"), [((1, 3, 1, 1), "flattened"), ((3,), "flattened"), ((1, 1), "single")]
)
def test_outputs_of_another_shape_say_how_to_export(shape, advice):
    with pytest.raises(ModelError, match=advice):
        settle(
            StatedMeaning("classify", ("a", "b", "c"), (8, 8)),
            lambda _: [np.zeros(shape, np.float32)],
            "model.onnx",
        )


def test_one_number_cannot_be_a_softmax():
    with pytest.raises(ModelError, match="of which a softmax is always 1"):
        settle_output(None, np.array([[3.0], [-2.0]]), "model.onnx")
    assert settle_output(Output.SIGMOID, np.array([[0.3], [0.9]]), "model.onnx") is Output.SIGMOID


@pytest.mark.parametrize("output", [*Output, None])
def test_outputs_that_are_not_finite_are_refused(output):
    with pytest.raises(ModelError, match="NaN or an infinity"):
        settle_output(output, np.array([[0.3, np.nan]]), "model.onnx")


@pytest.mark.parametrize(
    ("scale", "message"), [((64, -9), "logits"), ((0.9, 1), "boxes in pixels")]
)
def test_a_detector_without_its_sigmoid_or_its_pixels_is_refused(scale, message):
    output = np.random.default_rng(0).random((1, 6, 84), dtype=np.float32)
    output[:, :4] *= scale[0]
    output[:, 4:] *= scale[1]
    with pytest.raises(ModelError, match=message):
        settle(StatedMeaning("detect", ("a", "b"), (64, 64)), lambda _: [output], "model.onnx")


def test_output_is_no_word_for_a_detector():
    boxes = np.random.default_rng(0).random((1, 6, 84), dtype=np.float32)
    boxes[:, :4] *= 64
    with pytest.raises(ModelError, match="for a classifier only"):
        meaning_of(
            StatedMeaning(output=Output.SIGMOID),
            StatedMeaning(class_names=("a", "b"), input_size=(64, 64)),
            lambda _: [boxes],
            "m",
        )


@pytest.mark.parametrize(
    ("end", "head"),
    [
        ("sigmoid", "sigmoid"),
        ("softmax", "probabilities"),
        ("log_softmax", "logits"),
        (None, "logits"),
    ],
)
def test_a_torchscript_says_what_its_outputs_are(end, head, tmp_path):
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, images):
            found = self.layer(images.mean((2, 3)))
            return (
                found
                if end is None
                else getattr(found, end)(*([] if end == "sigmoid" else [1])).view(-1, 4)
            )

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.trace(Network().eval(), torch.zeros(1, 3, 16, 16)).save(
            str(tmp_path / "model.pt")
        )
    artifact = open_model(
        tmp_path / "model.pt",
        ModelOptions(image_size=16, trust_pickle=True),
        workdir=tmp_path / "work",
    )
    assert artifact.spec.head == head
    assert any("model.output" in remark for remark in remarks_on(artifact)) == (end is None)


def test_a_model_is_looked_at_on_real_images(ending_in, tmp_path):
    artifact = open_model(ending_in("sigmoid"), workdir=tmp_path / "work")
    images = list(np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), np.uint8))
    require_sound(artifact, images)
    require_sound(artifact, [])
    with pytest.raises(
        ModelError, match=r"a probabilities head on real images, found others.*for 3 of 3"
    ):
        require_sound(replace(artifact, spec=replace(artifact.spec, head="probabilities")), images)


def colours(count, *, several):
    """Images (n, 32, 32, 3) uint8 BGR with halves in red, green or blue, and who is there, (n, 3).

    Arguments:
        count: n.
        several: any number of colours an image, none included, or one.
    """
    rng = np.random.default_rng(4)
    there = rng.random((count, 3)) < 0.5 if several else np.eye(3)[rng.integers(3, size=count)] > 0
    images = rng.integers(0, 60, (count, 32, 32, 3), np.uint8)
    for image, row in zip(images, there, strict=True):
        for k in np.flatnonzero(row):
            image[:, 10 * k : 10 * k + 10, 2 - k] = 255
    return images, there.astype(np.float32)


@pytest.fixture
def trained(tmp_path):
    """Train a small network whose last layer gives logits, and export it to ONNX."""
    import torch
    from torch import nn

    def train(loss, images, truths):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
        )
        pixels = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
        optimizer = torch.optim.Adam(network.parameters(), 0.05)
        for _ in range(120):
            optimizer.zero_grad()
            loss(network(pixels), torch.from_numpy(truths)).backward()
            optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            path = tmp_path / "trained.onnx"
            torch.onnx.export(network.eval(), (pixels[:1],), path, dynamo=False)
        return path

    return train


def scores_of(artifact, images):
    """Scores (n, classes) that a classifier's task reads from its outputs."""
    task = task_for(artifact.spec)
    fitted, frames = zip(*(task.preprocess(image) for image in images), strict=True)
    with get_backend("onnxruntime").open(artifact, threads=1) as session:
        outputs = [session.run(one[None]) for one in fitted]
    return np.array(
        [
            task.postprocess(output, [frame])[0].probs
            for output, frame in zip(outputs, frames, strict=True)
        ]
    )


ZERO_TO_ONE = Normalisation()
ASSUMED = "say model.output: logits if so, or sigmoid_logits"


def test_logits_of_several_labels_an_image_are_never_read_as_a_softmax_in_silence(
    trained, tmp_path
):
    from torch import nn

    images, there = colours(48, several=True)
    path = trained(nn.BCEWithLogitsLoss(), images, there)
    plain = ModelOptions(normalisation=ZERO_TO_ONE)
    assumed = open_model(path, plain, workdir=tmp_path / "assumed", images=images)
    (remark,) = remarks_on(assumed)
    assert ASSUMED in remark and "\n" not in remark
    assert remarks_on(open_model(assumed.path, workdir=tmp_path, images=images)) == (remark,)

    said = replace(plain, output=Output.SIGMOID_LOGITS)
    stated = open_model(path, said, workdir=tmp_path / "stated", images=images)
    assert remarks_on(stated) == ()
    assert ((scores_of(stated, images) > 0.5) == there).mean() > 0.95


@pytest.mark.parametrize("shift", [0, -6, 6])
def test_a_classifier_trained_with_cross_entropy_is_read_as_one_wherever_its_logits_lie(
    shift, trained, tmp_path
):
    from torch import nn

    images, there = colours(48, several=False)
    path = trained(nn.CrossEntropyLoss(), images, there)
    model = onnx.load(path)
    bias = next(tensor for tensor in model.graph.initializer if tensor.dims == [3])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + shift, bias.name))
    onnx.save(model, path)

    plain = ModelOptions(normalisation=ZERO_TO_ONE)
    assumed = open_model(path, plain, workdir=tmp_path / "assumed", images=images)
    stated = open_model(
        path, replace(plain, output=Output.LOGITS), workdir=tmp_path / "stated", images=images
    )
    assert (assumed.spec.head, remarks_on(stated)) == ("logits", ())
    assert [ASSUMED in remark for remark in remarks_on(assumed)] == [True]
    scores = scores_of(assumed, images)
    assert (scores.argmax(axis=1) == there.argmax(axis=1)).mean() > 0.95
    np.testing.assert_array_equal(scores, scores_of(stated, images))


def test_outputs_that_tell_what_they_are_need_no_remark(ending_in, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    for tail in ("softmax", "sigmoid", "softmax in steps"):
        artifact = open_model(ending_in(tail), workdir=tmp_path / tail, images=images)
        assert remarks_on(artifact) == ()
