#!/usr/bin/env python3
"""Writes decompose.json: small matrices, and the start of their singular value and QR decompositions.

    pip install numpy==2.4.6
    ./make_decompose.py
"""

import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def case(name, w, r):
    w = w.astype(np.float32)
    exact = w.astype(np.float64)
    u, s, v = np.linalg.svd(exact, full_matrices=False)
    q, rows = np.linalg.qr(exact)
    numbers = lambda a: [float(f"{x:.13g}") for x in np.asarray(a).flatten().tolist()]
    return {
        "name": name,
        "m": w.shape[0],
        "n": w.shape[1],
        "r": r,
        "w": [float(f"{x:.9g}") for x in w.flatten().tolist()],
        "values": numbers(s[:r]),
        "product": [float(f"{x:.9g}") for x in (u[:, :r] * s[:r] @ v[:r]).flatten().tolist()],
        "q": numbers(q[:, :r]),
        "rows": numbers(rows[:r]),
    }


def main():
    rng = np.random.default_rng(20260102)
    low = rng.standard_normal((9, 2)) @ rng.standard_normal((2, 7))
    cases = [
        case("tall", rng.standard_normal((12, 5)), 3),
        case("wide", rng.standard_normal((5, 12)), 5),
        case("square", rng.standard_normal((8, 8)), 8),
        case("large enough to stop early", np.diag(0.7 ** np.arange(30)) @ np.linalg.qr(rng.standard_normal((30, 30)))[0], 2),
        case("low rank", low, 2),
        case("triangular", np.triu(rng.standard_normal((6, 6))), 4),
        case("one row", rng.standard_normal((1, 6)), 1),
    ]
    path = HERE / "decompose.json"
    path.write_text(json.dumps(cases) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
