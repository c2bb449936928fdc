"""Trains the vision transformer on the labels and on the answers of the convolutional network."""

from __future__ import annotations

import data
import training
from layers import FashionCnn, FashionVit


def main() -> None:
    options = training.arguments(__doc__, epochs=15)
    network = training.train(
        FashionVit(),
        data.load(options.data, "train"),
        rate=1.5e-3,
        epochs=options.epochs,
        seed=options.seed,
        checkpoint=options.out / "fashion-vit.pt",
        teacher=training.load_average(FashionCnn(), options.out / "fashion-cnn.pt"),
    )
    print(f"test images: {training.accuracy(network, data.load(options.data, 't10k')):.2f} %")


if __name__ == "__main__":
    main()
