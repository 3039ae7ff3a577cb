"""Runs tokenizers without GStreamer: RGB pictures to tokens, and back, in ONNX Runtime.

Needs `pip install 'vidtok-stream[run]'`. `Encoder` and `Decoder` take whole clips, or step by step what comes for ever.
"""

from .decoder import Decoder, DecoderStream
from .description import Description
from .encoder import Encoded, Encoder, EncoderStream
from .errors import ModelError
from .model import BUILT_IN

__all__ = [
    "BUILT_IN",
    "Decoder",
    "DecoderStream",
    "Description",
    "Encoded",
    "Encoder",
    "EncoderStream",
    "ModelError",
]
