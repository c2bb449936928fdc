#!/usr/bin/env python3
"""Writes crates/kernels/tests/golden/log_bessel.tsv: ln I_v(x) and ln K_v(x) to 17 digits, computed by mpmath to 40.

    pip install mpmath
    python3 scripts/golden_bessel.py [--points 1500] [--seed 1] [--out FILE]

Half of the points are spread over all orders and arguments, half lie just on either side of the borders between the expansions that
crates/kernels/src/bessel chooses among.
"""

import argparse
import math
import random
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 40

GOLDEN = Path(__file__).resolve().parent.parent / "crates/kernels/tests/golden/log_bessel.tsv"
X_BORDERS = [1400, 30, 274.2377, 84.4153, 35.9074, 19.6931]
V_BORDERS = [3.05, 15.3919, 163.6993, 46.9971, 20.1534, 10.6971]
LARGEST = 20_000


def log_k(v: mpf, x: mpf) -> mpf:
    """By the trapezoidal rule on the integral of exp(-x cosh t) cosh(v t) over the whole line, halved until nothing changes.

    mp.besselk subtracts I_v from I_-v: at orders and arguments of thousands that takes thousands of digits.
    """

    def exponent(t: mpf) -> mpf:
        return v * t - x * mp.cosh(t)

    peak = mp.asinh(v / x)
    top = exponent(peak)
    step = 1 / mp.sqrt(mp.sqrt(v * v + x * x) + 1) / 2

    def total(step: mpf) -> mpf:
        result = mpf(1)
        for sign in (-1, 1):
            t = peak + sign * step
            while (e := exponent(t) - top) > -110:
                result += mp.exp(e)
                t += sign * step
        return result * step

    before, after = total(step), total(step / 2)
    while abs(before - after) > mpf(10) ** -30 * after:
        step /= 2
        before, after = after, total(step / 2)
    return top + mp.log(after / 2)


def points(count: int, seed: int) -> list[tuple[float, float]]:
    rng = random.Random(seed)

    def anywhere(low: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(LARGEST)))

    chosen = []
    for _ in range(count // 2):
        v = rng.choice([0.0, 0.5, float(rng.randint(1, 60)), anywhere(1e-3), anywhere(1e-3)])
        chosen.append((v, anywhere(1e-4)))
        side = 1 + rng.choice([-1e-9, 1e-9])
        if rng.random() < 0.5:
            chosen.append((anywhere(1e-3), rng.choice(X_BORDERS) * side))
        else:
            chosen.append((rng.choice(V_BORDERS) * side, anywhere(1e-4)))
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=GOLDEN)
    arguments = parser.parse_args()
    for v, x in [(mpf(2.5), mpf(3)), (mpf(0), mpf(0.25)), (mpf(20), mpf(40))]:
        assert abs(log_k(v, x) - mp.log(mp.besselk(v, x))) < mpf(10) ** -28
    with arguments.out.open("w", encoding="utf-8") as file:
        file.write("v\tx\tln I\tln K\n")
        for v, x in points(arguments.points, arguments.seed):
            log_i = mp.log(mp.besseli(mpf(v), mpf(x)))
            file.write(f"{v!r}\t{x!r}\t{mp.nstr(log_i, 17)}\t{mp.nstr(log_k(mpf(v), mpf(x)), 17)}\n")


if __name__ == "__main__":
    main()
