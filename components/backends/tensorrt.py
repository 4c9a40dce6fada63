"""The TensorRT backend: builds an engine from the same ONNX file on the machine with the GPU.

Networks are strongly typed since TensorRT 11, so precision comes from the ONNX file alone: an FP16
or a Q/DQ INT8 file gives an FP16 or an INT8 engine. The engine lives in memory: it fits one GPU and
one TensorRT version only, so the file that ships stays the ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from components import telemetry
from components.backends.session import OpenSession, check_artifact, free_batch, one_line
from components.contracts import Format, ModelArtifact
from components.contracts.arrays import Array, Image
from components.errors import ModelError, UnavailableError
from components.printing import counted

if TYPE_CHECKING:
    import tensorrt as trt

MAX_BATCH = 32
WORKSPACE = 1 << 30  # bytes that the builder may use for scratch memory


@dataclass(frozen=True)
class TensorRt:
    """Runs ONNX with TensorRT 10 or newer on an NVIDIA GPU, at batch sizes of 1 to `MAX_BATCH`."""

    name: ClassVar[str] = "tensorrt"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.ONNX})
    bundled: ClassVar[tuple[str, ...]] = ()

    def unavailable_reason(self) -> str | None:
        telemetry.switch_off()
        try:
            import tensorrt
            import torch
        except (ImportError, OSError) as error:
            return f"TensorRT is not installed ({one_line(error)}): pip install 'foveal[gpu]'"
        if int(tensorrt.__version__.partition(".")[0]) < 10:
            return f"expected TensorRT 10 or newer, found {tensorrt.__version__}"
        return None if torch.cuda.is_available() else "no NVIDIA GPU was found"

    def open(
        self, artifact: ModelArtifact, *, device: str = "gpu", threads: int = 0
    ) -> TensorRtSession:
        reason = self.unavailable_reason()
        if reason:
            raise UnavailableError(
                "a machine where TensorRT works", found=reason, hint="choose another backend"
            )
        if device not in {"gpu", "cuda"}:
            raise UnavailableError(
                "the device gpu", found=repr(device), hint="TensorRT runs on NVIDIA GPUs only"
            )
        check_artifact(artifact, self.formats, self.name)
        return TensorRtSession(artifact, _build(artifact))


def _build(artifact: ModelArtifact) -> trt.ICudaEngine:
    """The engine for this GPU, one optimization profile with a free batch axis.

    Raises:
        ModelError: TensorRT cannot parse the file or build an engine from it.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(artifact.path)):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ModelError(
            "a model that TensorRT parses", found=f"{artifact.path.name}: {reasons[:200]}"
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    profile = builder.create_optimization_profile()
    one = (*artifact.spec.input_size, 3)
    most = MAX_BATCH if free_batch(artifact) else 1
    profile.set_shape(artifact.inputs[0].name, (1, *one), (1, *one), (most, *one))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError("a model that TensorRT builds an engine for", found=artifact.path.name)
    return trt.Runtime(logger).deserialize_cuda_engine(plan)


class TensorRtSession(OpenSession):
    """A TensorRT engine with its execution context; torch holds the GPU buffers."""

    def __init__(self, artifact: ModelArtifact, engine: trt.ICudaEngine) -> None:
        super().__init__(artifact, TensorRt.name)
        self._engine = engine
        self._context = engine.create_execution_context()

    def _infer(self, batch: Image) -> tuple[Array, ...]:
        import torch

        if len(batch) > MAX_BATCH:
            raise ModelError(
                f"a batch of at most {MAX_BATCH}",
                found=counted(len(batch), "image"),
                hint="pass smaller batches",
            )
        source = self._artifact.inputs[0].name
        images = torch.from_numpy(np.ascontiguousarray(batch)).cuda()
        self._context.set_input_shape(source, tuple(images.shape))
        self._context.set_tensor_address(source, images.data_ptr())
        outputs = []
        for output in self._artifact.outputs:
            shape = tuple(self._context.get_tensor_shape(output.name))
            outputs.append(torch.empty(shape, dtype=getattr(torch, output.dtype), device="cuda"))
            self._context.set_tensor_address(output.name, outputs[-1].data_ptr())
        stream = torch.cuda.current_stream()
        if not self._context.execute_async_v3(stream.cuda_stream):
            raise ModelError("TensorRT to run the engine", found="a failed launch")
        stream.synchronize()
        return tuple(output.cpu().numpy() for output in outputs)

    def _release(self) -> None:
        self._context = self._engine = None
