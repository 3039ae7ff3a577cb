"""ONNX Runtime for Python, with telemetry off. Import it from here, never directly.

Its official Linux wheels send telemetry from 1.29 on, unless this variable is set before they are loaded. A value that
the user has set stays.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # noqa: E402, TID251

__all__ = ["onnxruntime"]
