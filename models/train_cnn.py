"""Trains the convolutional network, which is also the teacher of the vision transformer."""

from __future__ import annotations

import data
import training
from layers import FashionCnn


def main() -> None:
    options = training.arguments(__doc__, epochs=10)
    network = training.train(
        FashionCnn(),
        data.load(options.data, "train"),
        rate=3e-3,
        epochs=options.epochs,
        seed=options.seed,
        checkpoint=options.out / "fashion-cnn.pt",
    )
    print(f"test images: {training.accuracy(network, data.load(options.data, 't10k')):.2f} %")


if __name__ == "__main__":
    main()
