"""Fine-tunes the vision transformer for integer-only inference with the operations of I-ViT (mode `ivit`).

    python models/fine_tune.py --measure     accuracy in float32, and with integers, of the weights as they are
    python models/fine_tune.py               fine-tunes, and writes models/fashion-vit/model-ivit.safetensors

What runs is the integer graph of docs/design/integer-only.md in fake quantisation: values are kept as real numbers on the grid of their scale.
Non-linear operations compute what their integer definitions say; a gradient passes through them as through the float operation (a
straight-through estimator), and through rounding as if it were not there. The teacher is the float network itself.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import data
import graph as graphs
import training
from graph import Graph

HERE = Path(__file__).parent
CALIBRATION_IMAGES = 1_000  # of the training images
BATCH = 128
RATE = 5e-5
I16_HEADROOM = 2.0  # a value of 16 bits can hold more than was seen
INT32_MAX = 2**31 - 1


def fake_quantize(x: Tensor, scale: float | Tensor, levels: int) -> Tensor:
    """Rounds to a multiple of `scale` and clamps to `levels` of them; the gradient is that of the clamp alone."""
    limit = scale * levels
    x = x.clamp(-limit, limit)
    return x + ((x / scale).round() * scale - x).detach()


def fake_quantize_weight(weight: Tensor) -> Tensor:
    """Eight bits and a scale of its own for each output channel."""
    largest = weight.detach().abs().flatten(1).amax(1).clamp(min=1e-8)
    return fake_quantize(weight, largest.view(-1, *[1] * (weight.ndim - 1)) / 127, 127)


def straight_through(exact: Tensor, smooth: Tensor) -> Tensor:
    """The value of `exact` with the gradient of `smooth`."""
    return smooth + (exact - smooth).detach()


def aligned(scale: float) -> float:
    """The next scale from `scale` up whose reciprocal is whole, so that ShiftExp divides without an error."""
    return 1 / max(1, math.floor(1 / scale))


def shift_exp(d: Tensor, reciprocal: int, n: int) -> Tensor:
    """ShiftExp: e^(S d) 2^n / S for integers d <= 0, where `reciprocal` is 1 / S."""
    p = (d + (d >> 1) - (d >> 4)).clamp(min=-n * reciprocal)
    k = -p // reciprocal
    t = p + reciprocal * k + 2 * reciprocal
    return torch.where(k < n, t << (n - k - 1).clamp(min=0), t >> 1)


def shiftmax(q: Tensor, reciprocal: int) -> Tensor:
    """Shiftmax with an output of 16 bits; its scale is 2^-15."""
    e = shift_exp(q - q.amax(-1, keepdim=True), reciprocal, 15)
    factor = INT32_MAX // e.sum(-1, keepdim=True).clamp(max=INT32_MAX)
    return (e * factor) >> 16


def shift_gelu(q: Tensor, reciprocal: int) -> Tensor:
    """ShiftGELU of rows of int8, where `reciprocal` is 1 / (1.702 S); its scale is S / 128."""
    largest = q.amax(-1, keepdim=True).clamp(min=0)
    e = shift_exp(q - largest, reciprocal, 23)
    sum_of_both = (e + shift_exp(-largest, reciprocal, 23)).clamp(max=INT32_MAX)
    return q * ((e * (INT32_MAX // sum_of_both)) >> 24)


def i_layer_norm(q: Tensor) -> Tensor:
    """I-LayerNorm of rows of int16 without weight and bias; its scale is sqrt(channels) / 2^30."""
    y = q - (q.double().mean(-1, keepdim=True)).round().long()
    variance = (y * y).sum(-1, keepdim=True)
    k = torch.full_like(variance, 2**16)
    for _ in range(10):
        k = (k + variance // k) >> 1
    return (y * (INT32_MAX // k)) >> 1


class IntegerNetwork:
    """The integer graph in fake quantisation. Its parameters are the tensors of the float graph, batch normalisation folded."""

    def __init__(self, graph: Graph, calibration: Tensor, mode: str) -> None:
        self.graph = graph.folded()
        self.mode = mode
        self.wide = self._wide()
        self.ranges = [0.0] * len(graph.nodes)
        self.score_ranges = [0.0] * len(graph.nodes)
        self._calibrate(calibration)

    def _wide(self) -> list[bool]:
        """What a layer norm reads has 16 bits, and so has all that is added up to it."""
        nodes = self.graph.nodes
        wide = [False] * len(nodes)
        for index in reversed(range(len(nodes))):
            op = nodes[index]["op"]
            if op == "layer_norm" or (wide[index] and op in ("add", "add_position", "class_row")):
                for value in nodes[index]["inputs"]:
                    wide[value] = True
        return wide

    @torch.no_grad()
    def _calibrate(self, images: Tensor) -> None:
        """Takes the largest magnitude of every value."""
        nodes = self.graph.nodes
        for part in images.split(250):
            values = list(graphs.run(self.graph, part))
            for index, (node, value) in enumerate(zip(nodes, values, strict=True)):
                self.ranges[index] = max(self.ranges[index], value.abs().max().item())
                if node["op"] == "attention":
                    q, k, _ = graphs.split_heads(values[node["inputs"][0]], node["heads"])
                    scores = (q @ k.mT).abs().max().item() * q.shape[-1] ** -0.5
                    self.score_ranges[index] = max(self.score_ranges[index], scores)
        for index, node in enumerate(nodes):
            if self.wide[index]:
                self.ranges[index] *= I16_HEADROOM
            if node["op"] == "class_row":
                self.ranges[index] = self.ranges[node["inputs"][0]]
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return list(self.graph.tensors.values())

    def logits(self, images: Tensor) -> Tensor:
        """Logits `[n, 10]` of pixels `[n, 28, 28]`."""
        nodes = self.graph.nodes
        values: list[Tensor] = []
        for index, node in enumerate(nodes):
            if node["op"] == "input":
                values.append(graphs.to_value(images))
                continue
            x = self._apply(index, node, [values[i] for i in node["inputs"]])
            if index < len(nodes) - 1 and node["op"] != "class_row":
                x = fake_quantize(x, self.scale(index), self.levels(index))
            values.append(x)
        return values[-1].flatten(1)

    def levels(self, index: int) -> int:
        """The largest integer of a value."""
        return 32767 if self.wide[index] else 127

    def scale(self, index: int) -> float:
        """The scale of a value; that of what a GELU reads fits its shifts."""
        scale = self.ranges[index] / self.levels(index)
        if self.mode == "ivit" and any(n["op"] == "gelu" and index in n["inputs"] for n in self.graph.nodes):
            return aligned(scale * 1.702) / 1.702
        return scale

    def score_scale(self, index: int) -> float:
        """The scale of the scores of an attention node."""
        scale = self.score_ranges[index] / 127
        return aligned(scale) if self.mode == "ivit" else scale

    def _apply(self, index: int, node: dict[str, Any], inputs: list[Tensor]) -> Tensor:
        own = self.graph.own(node)
        if node["op"] in ("conv2d", "linear"):
            own["weight"] = fake_quantize_weight(own["weight"])
        x = inputs[0]
        if node["op"] == "attention":
            q, k, v = graphs.split_heads(x, node["heads"])
            scale = self.score_scale(index)
            scores = fake_quantize(q @ k.mT * q.shape[-1] ** -0.5, scale, 127)
            weights = scores.softmax(-1)
            if self.mode == "ivit":
                integers = shiftmax((scores.detach() / scale).round().long(), round(1 / scale))
                weights = straight_through(integers.float() / 2**15, weights)
            return graphs.join_heads(weights @ v)
        y = graphs.apply(node, inputs, own)
        if self.mode == "ivit" and node["op"] in ("layer_norm", "gelu"):
            scale = self.scale(node["inputs"][0])
            integers = (x.detach() / scale).round().long()
            if node["op"] == "layer_norm":
                normal = i_layer_norm(integers).float() * (math.sqrt(x.shape[-1]) / 2**30)
                return straight_through(normal * own["weight"] + own["bias"], y)
            return straight_through(shift_gelu(integers, round(1 / (1.702 * scale))).float() * (scale / 128), y)
        return y


@torch.no_grad()
def accuracy(network: IntegerNetwork, split: data.Split) -> float:
    """Top-1 accuracy in percent."""
    parts = zip(split.images.split(250), split.labels.split(250), strict=True)
    right = sum((network.logits(images).argmax(1) == labels).sum().item() for images, labels in parts)
    return 100 * right / len(split.labels)


def fine_tune(network: IntegerNetwork, teacher: Graph, split: data.Split, steps: int, seed: int) -> None:
    """Trains the network for so many steps towards the labels and what the float network says."""
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    begin = time.monotonic()
    for step in range(steps):
        chosen = torch.randint(0, len(split.images), (BATCH,), generator=generator)
        images = data.augment(split.images[chosen], generator)
        taught = graphs.evaluate(teacher, images)
        loss = training.loss_of(network.logits(images), split.labels[chosen], taught)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}/{steps}: loss {loss.item():.4f}, {time.monotonic() - begin:.0f} s", flush=True)
    for parameter in network.parameters():
        parameter.requires_grad_(False)


def save(network: IntegerNetwork, path: Path) -> None:
    """Writes the float graph with the ranges that it was trained for."""
    last = len(network.ranges) - 1
    nodes = [
        node if node["op"] in ("input", "class_row") or index == last else {**node, "range": network.ranges[index]}
        for index, node in enumerate(network.graph.nodes)
    ]
    Graph(network.graph.name, nodes, network.graph.tensors).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data.DEFAULT_FOLDER, help="folder of the four IDX files")
    parser.add_argument("--measure", action="store_true", help="measure the weights as they are")
    parser.add_argument("--steps", type=int, default=470)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = HERE / "fashion-vit"
    graph = Graph.read(folder / "model.safetensors")
    train, test = data.load(options.data, "train"), data.load(options.data, "t10k")
    calibration = train.images[:CALIBRATION_IMAGES]
    if options.measure:
        right = 100 * (graphs.evaluate(graph, test.images).argmax(1) == test.labels).float().mean().item()
        print(f"float32: {right:.2f} %", flush=True)
        for mode in ("exact", "ivit"):
            print(f"{mode}: {accuracy(IntegerNetwork(graph, calibration, mode), test):.2f} %", flush=True)
        return
    network = IntegerNetwork(graph, calibration, "ivit")
    fine_tune(network, graph, train, options.steps, options.seed)
    save(network, folder / "model-ivit.safetensors")
    print(f"ivit: {accuracy(network, test):.2f} % of {len(test.labels)} test images")


if __name__ == "__main__":
    main()
