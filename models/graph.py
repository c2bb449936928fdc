"""The float graph of docs/design/integer-only.md: a list of nodes and their tensors, in a safetensors file.

`evaluate` runs such a file without the modules of `layers.py`, and so checks what `export.py` has written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

import data

VERSION = 1


@dataclass
class Graph:
    """Nodes in order of execution, each `{"op", "inputs", ...}`; the last one gives the logits."""

    name: str
    nodes: list[dict[str, Any]] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def add(self, op: str, *inputs: int, **attributes: Any) -> int:
        """Appends a node and returns the index of its value."""
        self.nodes.append({"op": op, "inputs": list(inputs), **attributes})
        return len(self.nodes) - 1

    def add_weighted(self, op: str, *inputs: int, weights: str, tensors: dict[str, Tensor], **attributes: Any) -> int:
        """Appends a node with tensors, stored as `weights.name`."""
        for name, tensor in tensors.items():
            self.tensors[f"{weights}.{name}"] = tensor.detach().float().contiguous().clone()
        return self.add(op, *inputs, weights=weights, **attributes)

    def own(self, node: dict[str, Any]) -> dict[str, Tensor]:
        """The tensors of a node, by the end of their names."""
        prefix = f"{node.get('weights')}."
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}

    def save(self, path: Path) -> None:
        """Writes the safetensors file."""
        description = {
            "version": VERSION,
            "name": self.name,
            "labels": list(data.LABELS),
            "input": {"height": data.SIZE, "width": data.SIZE, "channels": 1, "mean": 128, "scale": 128},
            "nodes": self.nodes,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, path, metadata={"dyadic": json.dumps(description)})

    @staticmethod
    def read(path: Path) -> Graph:
        """Reads the safetensors file."""
        with safe_open(path, framework="pt") as file:
            description = json.loads(file.metadata()["dyadic"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if description["version"] != VERSION:
            raise ValueError(f"{path}: version {description['version']}, expected {VERSION}")
        return Graph(description["name"], description["nodes"], tensors)

    def folded(self) -> Graph:
        """The same graph with batch normalisation folded into weights and biases of convolutions."""
        nodes = [dict(node) for node in self.nodes]
        tensors = {name: tensor for name, tensor in self.tensors.items() if ".bn." not in name}
        for node in nodes:
            own = {name: tensor.double() for name, tensor in self.own(node).items()}
            if "bn.weight" not in own:
                continue
            factor = own["bn.weight"] / (own["bn.variance"] + node.pop("epsilon")).sqrt()
            tensors[f"{node['weights']}.weight"] = (own["weight"] * factor[:, None, None, None]).float()
            tensors[f"{node['weights']}.bias"] = (own["bn.bias"] - own["bn.mean"] * factor).float()
        return Graph(self.name, nodes, tensors)


def to_value(images: Tensor) -> Tensor:
    """Pixels `[n, 28, 28]` as the value of the input node, `[n, 28, 28, 1]`."""
    return data.to_input(images).movedim(1, -1)


def run(graph: Graph, images: Tensor) -> Iterator[Tensor]:
    """The value of every node in float32, for pixels `[n, 28, 28]`; batch normalisation has been folded."""
    values: list[Tensor] = []
    for node in graph.nodes:
        inputs = [values[index] for index in node["inputs"]]
        values.append(apply(node, inputs, graph.own(node)) if inputs else to_value(images))
        yield values[-1]


def apply(node: dict[str, Any], inputs: list[Tensor], own: dict[str, Tensor]) -> Tensor:
    """The value of one node with its own tensors. Values are `[n, height, width, channels]` or `[n, tokens, channels]`."""
    x = inputs[0]
    match node["op"]:
        case "conv2d":
            y = F.conv2d(x.movedim(-1, 1), own["weight"], own["bias"], node["stride"], node["padding"]).movedim(1, -1)
            return y.relu() if node["relu"] else y
        case "linear":
            return F.linear(x, own["weight"], own["bias"])
        case "add_position":
            first = own["class_token"].expand(len(x), 1, -1)
            return torch.cat([first, x.flatten(1, -2)], dim=1) + own["position"]
        case "layer_norm":
            return F.layer_norm(x, x.shape[-1:], own["weight"], own["bias"], node["epsilon"])
        case "attention":
            q, k, v = split_heads(x, node["heads"])
            scores = q @ k.mT * q.shape[-1] ** -0.5
            return join_heads(scores.softmax(-1) @ v)
        case "gelu":
            return F.gelu(x)
        case "add":
            return inputs[0] + inputs[1]
        case "average_pool":
            return F.avg_pool2d(x.movedim(-1, 1), node["window"], node["stride"]).movedim(1, -1)
        case "class_row":
            return x[:, 0]
    raise ValueError(f"no node \"{node['op']}\"")


def split_heads(x: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """`[n, tokens, 3 channels]` as q, k and v, each `[n, heads, tokens, head_dim]`."""
    q, k, v = x.unflatten(-1, (3, heads, -1)).movedim((2, 3), (0, 2))
    return q, k, v


def join_heads(x: Tensor) -> Tensor:
    """`[n, heads, tokens, head_dim]` as `[n, tokens, channels]`."""
    return x.movedim(1, 2).flatten(2)


@torch.no_grad()
def evaluate(graph: Graph, images: Tensor, batch: int = 500) -> Tensor:
    """Logits `[n, 10]` in float32."""
    folded = graph.folded()
    return torch.cat([[*run(folded, part)][-1].reshape(len(part), -1) for part in images.split(batch)])
