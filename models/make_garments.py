"""Writes test images of every class as PNG files, for examples: `python models/make_garments.py`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import data

FOLDER = Path(__file__).parent / "fashion-vit" / "garments"


def main() -> None:
    test = data.load(data.DEFAULT_FOLDER, "t10k")
    FOLDER.mkdir(parents=True, exist_ok=True)
    labels = test.labels.tolist()
    for label, name in enumerate(data.LABELS):
        index = labels.index(label)  # the first of its class: not chosen by what a network says of it
        image = Image.fromarray(test.images[index].numpy())
        image.save(FOLDER / f"{index:04}-{name.replace(' ', '-')}.png", optimize=True)


if __name__ == "__main__":
    main()
