"""ONNX Runtime for Python, with telemetry off. Import it from here, never directly.

Its official Linux wheels send telemetry from 1.29 on, unless this variable is set before they are loaded. A value that
the user has set stays.
"""

import os

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # noqa: E402, TID251

__all__ = ["frames_for", "onnxruntime"]


def frames_for(encoder: onnxruntime.InferenceSession, frames: np.ndarray) -> np.ndarray:
    """Frames from 0 to 255 in the type that the encoder graph takes: rounded where it takes bytes."""
    (port,) = (port for port in encoder.get_inputs() if port.name == "frames")
    if port.type == "tensor(float)":
        return frames.astype(np.float32)
    return np.rint(frames).clip(0, 255).astype(np.uint8)
