"""A tokenizer whose tokens are the pixels: what the encoder's network gets can be read from the element's output."""

from pathlib import Path

from onnx import TensorProto

from toy import H, N, Toy, W
from vidtok_export import tokenizer

FRAMES = [N, 1, H, W, 3]


def export(folder: Path, takes_bytes: bool = False) -> None:
    """Writes a KL tokenizer of one frame per latent frame and one pixel per cell, whose channels are R, G and B."""
    encode = Toy("encoder")
    frames = encode.input("frames", TensorProto.UINT8 if takes_bytes else TensorProto.FLOAT, FRAMES)
    # A causal graph takes it, and this one has no state.
    encode.input("first", TensorProto.BOOL, [N])
    encode.output(encode.op("Cast", frames, to=TensorProto.FLOAT), "tokens", TensorProto.FLOAT, FRAMES)
    decode = Toy("decoder")
    tokens = decode.input("tokens", TensorProto.FLOAT, FRAMES)
    decode.input("first", TensorProto.BOOL, [N])
    decode.output(decode.op("Cast", tokens, to=TensorProto.UINT8), "frames", TensorProto.UINT8, FRAMES)
    name = "pixels-of-bytes" if takes_bytes else "pixels"
    description = tokenizer.Description(
        name=name,
        digest=tokenizer.digest({"toy": name}, {}),
        family="toy",
        regularizer="kl",
        levels=None,
        channels=3,
        time_factor=1,
        space_factor=1,
        causal=True,
        window=0,
        decoder_delay=0,
        licence="MIT",
    )
    tokenizer.write(folder, description, encode.model(), decode.model())
