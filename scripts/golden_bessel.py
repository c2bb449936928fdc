#!/usr/bin/env python3
"""Writes crates/kernels/tests/golden/log_bessel.f64: ln I_v(x) and ln K_v(x), correctly rounded, on a grid of 10^5 points.

    pip install python-flint
    python3 scripts/golden_bessel.py [--out FILE]

FLINT's ball arithmetic bounds the error of every value; the precision is doubled until the bound allows one f64 only.

The file is little-endian f64 throughout: 250 orders, 400 arguments, then ln I and ln K, each a row of arguments for every order. The grid spreads
over all orders and arguments, and has a point on either side of each border between the expansions that crates/kernels/src/bessel chooses among.
"""

import argparse
import math
import struct
from pathlib import Path

from flint import arb, ctx

GOLDEN = Path(__file__).resolve().parent.parent / "crates/kernels/tests/golden/log_bessel.f64"
X_BORDERS = [1400, 30, 274.2377, 84.4153, 35.9074, 19.6931]
V_BORDERS = [3.05, 15.3919, 163.6993, 46.9971, 20.1534, 10.6971]
ORDERS, ARGUMENTS = 250, 400
LARGEST = 20_000


def axis(count: int, lowest: float, borders: list[float], others: list[float]) -> list[float]:
    """So many numbers: `others`, both sides of the borders, the rest spread evenly on a logarithmic scale."""
    chosen = others + [border * side for border in borders for side in (1 - 1e-9, 1 + 1e-9)]
    rest = count - len(chosen)
    ratio = math.log(LARGEST / lowest) / (rest - 1)
    return sorted(chosen + [lowest * math.exp(ratio * i) for i in range(rest)])


def rounded(function, v: float, x: float) -> float:
    """The f64 nearest to the logarithm of a positive function."""
    bits = 128
    while True:
        ctx.prec = bits
        value = function(arb(x), arb(v)).log()
        low, high = float(value.lower()), float(value.upper())
        if low == high:
            return low
        bits *= 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GOLDEN)
    arguments = parser.parse_args()
    orders = axis(ORDERS, 1e-3, V_BORDERS, [0.0, 0.5] + [float(v) for v in range(1, 61)])
    xs = axis(ARGUMENTS, 1e-4, X_BORDERS, [])
    numbers = orders + xs
    for function in (arb.bessel_i, arb.bessel_k):
        numbers += [rounded(function, v, x) for v in orders for x in xs]
    arguments.out.write_bytes(struct.pack(f"<{len(numbers)}d", *numbers))


if __name__ == "__main__":
    main()
