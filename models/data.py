"""Fashion-MNIST as tensors, and the augmentation of a batch.

The four IDX files are those `node scripts/fetch-fashion-mnist.mjs` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LABELS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIZE = 28
DEFAULT_FOLDER = Path.home() / ".cache" / "dyadic" / "fashion-mnist"


class Split(NamedTuple):
    """Images `[n, 28, 28]` of uint8 and labels `[n]` of int64."""

    images: Tensor
    labels: Tensor


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file of unsigned bytes."""
    data = path.read_bytes()
    if data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    rank = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape.astype(int)).copy()


def load(folder: Path, part: str) -> Split:
    """`part` is `train` (60,000 images) or `t10k` (10,000 images)."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte")
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte")
    return Split(torch.from_numpy(images), torch.from_numpy(labels).long())


def to_input(images: Tensor) -> Tensor:
    """Pixels `[n, 28, 28]` as network input `[n, 1, 28, 28]`: (pixel - 128) / 128, exact in float32."""
    return (images.float() - 128).div_(128).unsqueeze(1)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirrors half of the images, moves each by up to two pixels, and blackens a square of 7 x 7 in half of them.

    Pixels `[n, 28, 28]` to pixels `[n, 28, 28]`.
    """
    n = len(images)
    line = torch.arange(SIZE)

    def coin() -> Tensor:
        return torch.rand(n, generator=generator) < 0.5

    def below(bound: int) -> Tensor:
        return torch.randint(0, bound, (n, 1), generator=generator)

    images = torch.where(coin()[:, None, None], images.flip(2), images)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    rows, columns = below(5) + line, below(5) + line
    moved = padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    near_row, near_column = (line - below(SIZE)).abs() < 4, (line - below(SIZE)).abs() < 4
    erased = near_row[:, :, None] & near_column[:, None, :] & coin()[:, None, None]
    return moved.masked_fill_(erased, 0)
