"""Deterministic weights for a parameter manifest {name: shape}: the same numbers on every machine."""

import zlib

import numpy as np


def weights(shapes: dict[str, list[int]], seed: int) -> dict[str, np.ndarray]:
    """Return {name: float32 array}; every parameter is non-trivial, so that no layer hides."""
    out = {}
    for name, shape in sorted(shapes.items()):
        rng = np.random.RandomState((zlib.crc32(name.encode()) + seed) & 0xFFFFFFFF)
        x = rng.standard_normal(shape).astype(np.float32)
        if name.endswith("mix_factor"):
            out[name] = 0.5 + 0.5 * x
        elif name.endswith("bias"):
            out[name] = 0.1 * x
        elif len(shape) == 1:  # norm scale
            out[name] = 1.0 + 0.2 * x
        else:  # convolution: unit gain over its fan-in
            out[name] = x / np.float32(np.sqrt(np.prod(shape[1:])))
    return out


def frames(t: int, h: int, w: int, seed: int) -> np.ndarray:
    """Smooth moving uint8 RGB frames [t, h, w, 3]: drifting sine gratings, a moving disc, light noise."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    out = np.empty((t, h, w, 3), np.uint8)
    phase = rng.uniform(0, 6.28, 3)
    freq = rng.uniform(0.05, 0.35, (3, 2))
    vel = rng.uniform(-0.6, 0.6, 3)
    for i in range(t):
        for c in range(3):
            out_c = 127 + 80 * np.sin(freq[c, 0] * x + freq[c, 1] * y + phase[c] + vel[c] * i)
            cx, cy = w * (0.2 + 0.6 * i / max(t - 1, 1)), h * 0.5 + 0.2 * h * np.sin(0.4 * i)
            out_c[(x - cx) ** 2 + (y - cy) ** 2 < (0.2 * h) ** 2] = 40 + 70 * c
            out[i, ..., c] = np.clip(out_c + rng.normal(0, 4, (h, w)), 0, 255)
    return out
