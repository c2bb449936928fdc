"""Writes an exported network as ONNX, in float32 and in int8 (QDQ), for comparison with onnxruntime.

    python models/export_onnx.py [vit|cnn] [--out build/onnx]

The input `pixels` is float32 `[n, 1, 28, 28]`, each (pixel - 128) / 128; the output `logits` is `[n, 10]`.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

import data
from graph import Graph

HERE = Path(__file__).parent
OPSET = 17
CALIBRATION_IMAGES = 512  # of the training images


class Writer:
    """Appends ONNX nodes; every method returns the name of a value."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def real(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def attention(self, x: str, heads: int, channels: int) -> str:
        head_dim = channels // heads
        split = self.add("Reshape", x, self.ints(0, 0, 3, heads, head_dim))
        parts = self.add("Transpose", split, perm=[2, 0, 3, 1, 4])
        q, k, v = (self.add("Gather", parts, self.constant(np.array(which)), axis=0) for which in range(3))
        scores = self.add("MatMul", q, self.add("Transpose", k, perm=[0, 1, 3, 2]))
        weights = self.add("Softmax", self.add("Mul", scores, self.real(head_dim**-0.5)), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", weights, v), perm=[0, 2, 1, 3])
        return self.add("Reshape", mixed, self.ints(0, 0, channels))

    def gelu(self, x: str) -> str:
        """The form that onnxruntime recognises and runs as one node."""
        erf = self.add("Erf", self.add("Div", x, self.real(2**0.5)))
        return self.add("Mul", self.add("Mul", x, self.add("Add", erf, self.real(1.0))), self.real(0.5))


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """The nodes of a graph, one by one. Images are channels-first here, as onnxruntime wants them."""
    graph = graph.folded()
    writer = Writer()
    values: list[str] = []
    channels: list[int] = []
    for node in graph.nodes:
        inputs = [values[index] for index in node["inputs"]]
        width = channels[node["inputs"][0]] if inputs else 1
        own = {name: tensor.numpy() for name, tensor in graph.own(node).items()}
        match node["op"]:
            case "input":
                value = "pixels"
            case "conv2d":
                weight = own["weight"]
                width = len(weight)
                value = writer.add(
                    "Conv",
                    inputs[0],
                    writer.constant(weight),
                    writer.constant(own["bias"]),
                    strides=[node["stride"]] * 2,
                    pads=[node["padding"]] * 4,
                )
                if node["relu"]:
                    value = writer.add("Relu", value)
            case "linear":
                weight = own["weight"]
                width = len(weight)
                product = writer.add("MatMul", inputs[0], writer.constant(weight.T))
                value = writer.add("Add", product, writer.constant(own["bias"]))
            case "add_position":
                flat = writer.add("Reshape", inputs[0], writer.ints(0, 0, -1))
                tokens = writer.add("Transpose", flat, perm=[0, 2, 1])
                # The first row of the positions carries the class token; the others are added to the patches.
                first = own["class_token"] + own["position"][0]
                batch = writer.add("Slice", writer.add("Shape", tokens), writer.ints(0), writer.ints(1))
                shape = writer.add("Concat", batch, writer.ints(1, width), axis=0)
                row = writer.add("Expand", writer.constant(first[None, None]), shape)
                rest = writer.add("Add", tokens, writer.constant(own["position"][1:]))
                value = writer.add("Concat", row, rest, axis=1)
            case "layer_norm":
                parts = (writer.constant(own[name]) for name in ("weight", "bias"))
                value = writer.add("LayerNormalization", inputs[0], *parts, axis=-1, epsilon=node["epsilon"])
            case "attention":
                width //= 3
                value = writer.attention(inputs[0], node["heads"], width)
            case "gelu":
                value = writer.gelu(inputs[0])
            case "add":
                value = writer.add("Add", *inputs)
            case "average_pool":
                value = writer.add("Flatten", writer.add("GlobalAveragePool", inputs[0]))
            case "class_row":
                value = writer.add("Gather", inputs[0], writer.constant(np.array(0)), axis=1)
            case other:
                raise ValueError(f'no node "{other}"')
        values.append(value)
        channels.append(width)
    writer.nodes.append(helper.make_node("Identity", [values[-1]], ["logits"]))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 1, data.SIZE, data.SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(data.LABELS)])
    body = helper.make_graph(writer.nodes, graph.name, [pixels], [logits], writer.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


class Calibration(quantization.CalibrationDataReader):
    """Batches of network input."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.batches = iter(np.array_split(pixels, len(pixels) // 64))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"pixels": batch}


def accuracy(file: Path, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Top-1 accuracy of a file in onnxruntime, in percent."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits = [session.run(None, {"pixels": part})[0] for part in np.array_split(pixels, 20)]
    return 100 * float((np.concatenate(logits).argmax(1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=["cnn", "vit"], default="vit")
    parser.add_argument("--out", type=Path, default=Path("build/onnx"))
    parser.add_argument("--data", type=Path, default=data.DEFAULT_FOLDER, help="folder of the four IDX files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer advises a pre-processing that changes nothing here
    floats, integers = (options.out / f"{options.model}-{kind}.onnx" for kind in ("f32", "int8"))
    onnx.save(to_onnx(Graph.read(HERE / f"fashion-{options.model}" / "model.safetensors")), floats)
    calibration = data.load(options.data, "train").images[:CALIBRATION_IMAGES]
    # The fastest of its kind in onnxruntime: unsigned activations and signed weights are what the dot products of x86 take, and sums and GELU
    # stay in float32, where they are one node.
    quantization.quantize_static(
        floats,
        integers,
        Calibration(data.to_input(calibration).numpy()),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    test = data.load(options.data, "t10k")
    for file in (floats, integers):
        right = accuracy(file, data.to_input(test.images).numpy(), test.labels.numpy())
        print(f"{file}: {file.stat().st_size} bytes, {right:.2f} % of {len(test.labels)} test images")


if __name__ == "__main__":
    main()
