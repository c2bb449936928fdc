"""Writes the weights of a checkpoint as the float graph of docs/design/integer-only.md, with its first logits.

    python models/export.py cnn|vit     build/models/fashion-NAME.pt to models/fashion-NAME/
    python models/export.py --check     evaluates what is there on all 10,000 test images
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import nn

import data
import graph as graphs
import training
from graph import Graph
from layers import Block, ConvNorm, FashionCnn, FashionVit, Residual

HERE = Path(__file__).parent
GOLDEN_IMAGES = 64


def plain(module: nn.Linear | nn.LayerNorm) -> dict[str, torch.Tensor]:
    """Weight and bias."""
    return {"weight": module.weight, "bias": module.bias}


def add_conv(graph: Graph, x: int, name: str, module: ConvNorm) -> int:
    conv, norm = module.conv, module.norm
    tensors = {
        "weight": conv.weight,
        "bn.weight": norm.weight,
        "bn.bias": norm.bias,
        "bn.mean": norm.running_mean,
        "bn.variance": norm.running_var,
    }
    return graph.add_weighted(
        "conv2d",
        x,
        weights=name,
        tensors=tensors,
        stride=conv.stride[0],
        padding=conv.padding[0],
        relu=module.relu,
        epsilon=norm.eps,
    )


def add_linear(graph: Graph, x: int, name: str, module: nn.Linear) -> int:
    return graph.add_weighted("linear", x, weights=name, tensors=plain(module))


def add_norm(graph: Graph, x: int, name: str, module: nn.LayerNorm) -> int:
    return graph.add_weighted("layer_norm", x, weights=name, tensors=plain(module), epsilon=module.eps)


def cnn_graph(network: FashionCnn) -> Graph:
    """The nodes of the convolutional network."""
    graph = Graph("fashion-cnn")
    x = graph.add("input")
    for index, module in enumerate(network.body):
        name = f"body.{index}"
        if isinstance(module, Residual):
            y = add_conv(graph, x, f"{name}.first", module.first)
            y = add_conv(graph, y, f"{name}.second", module.second)
            x = graph.add("add", x, y)
        else:
            x = add_conv(graph, x, name, module)
    x = graph.add("average_pool", x, window=7, stride=7)
    add_linear(graph, x, "head", network.head)
    return graph


def add_block(graph: Graph, x: int, name: str, block: Block) -> int:
    y = add_norm(graph, x, f"{name}.norm1", block.norm1)
    y = add_linear(graph, y, f"{name}.attention.qkv", block.attention.qkv)
    y = graph.add("attention", y, heads=block.attention.heads)
    y = add_linear(graph, y, f"{name}.attention.projection", block.attention.projection)
    x = graph.add("add", x, y)
    y = add_norm(graph, x, f"{name}.norm2", block.norm2)
    y = add_linear(graph, y, f"{name}.fc1", block.fc1)
    y = graph.add("gelu", y)
    y = add_linear(graph, y, f"{name}.fc2", block.fc2)
    return graph.add("add", x, y)


def vit_graph(network: FashionVit) -> Graph:
    """The nodes of the vision transformer. Its last norm acts on each token alone, so the class row is enough."""
    graph = Graph("fashion-vit")
    x = graph.add("input")
    for index, module in enumerate(network.embed):
        x = add_conv(graph, x, f"embed.{index}", module)
    tokens = {"class_token": network.class_token[0], "position": network.position}
    x = graph.add_weighted("add_position", x, weights="tokens", tensors=tokens)
    for index, block in enumerate(network.blocks):
        x = add_block(graph, x, f"blocks.{index}", block)
    x = graph.add("class_row", x)
    x = add_norm(graph, x, "norm", network.norm)
    add_linear(graph, x, "head", network.head)
    return graph


def write_golden(graph: Graph, folder: Path, test: data.Split) -> None:
    """The logits of the first test images, for the test of other evaluators."""
    logits = graphs.evaluate(graph, test.images[:GOLDEN_IMAGES])
    rows = ",\n  ".join(json.dumps([float(f"{x:.6g}") for x in row]) for row in logits.tolist())
    (folder / "golden-logits.json").write_text(f"[\n  {rows}\n]\n")


def check(folder: Path, test: data.Split) -> None:
    graph = Graph.read(folder / "model.safetensors")
    logits = graphs.evaluate(graph, test.images)
    golden = torch.tensor(json.loads((folder / "golden-logits.json").read_text()))
    apart = (logits[: len(golden)] - golden).abs().max().item()
    if apart > 1e-4:
        raise SystemExit(f"{folder}: golden logits differ by {apart}")
    parameters = sum(tensor.numel() for tensor in graph.folded().tensors.values())
    right = 100 * (logits.argmax(1) == test.labels).float().mean().item()
    print(f"{graph.name}: {len(graph.nodes)} nodes, {parameters} parameters, {right:.2f} % of {len(logits)} test images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=["cnn", "vit"])
    parser.add_argument("--check", action="store_true", help="evaluate the exported models")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/models"))
    parser.add_argument("--data", type=Path, default=data.DEFAULT_FOLDER, help="folder of the four IDX files")
    options = parser.parse_args()
    test = data.load(options.data, "t10k")
    if options.model:
        name = f"fashion-{options.model}"
        empty, to_graph = {"cnn": (FashionCnn(), cnn_graph), "vit": (FashionVit(), vit_graph)}[options.model]
        network = training.load_average(empty, options.checkpoints / f"{name}.pt")
        graph = to_graph(network)
        graph.save(HERE / name / "model.safetensors")
        write_golden(graph, HERE / name, test)
        with torch.no_grad():
            apart = (network(data.to_input(test.images[:500])) - graphs.evaluate(graph, test.images[:500])).abs().max()
        print(f"{name}: written; logits of network and graph differ by at most {apart:.1e}")
    if options.check:
        for folder in sorted(HERE.glob("fashion-*")):
            check(folder, test)


if __name__ == "__main__":
    main()
