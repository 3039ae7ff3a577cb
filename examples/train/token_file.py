"""Writes tokens as `.vidtok` files. Needs NumPy and vidtok_stream."""

from pathlib import Path

from vidtok_stream import Stream, TokenFormat, write

from clips import Clip, Tokens


def format_of(clip: Clip) -> TokenFormat:
    """What a file of the clip's tokens says of them."""
    about, tokenizer = clip.about, clip.about["tokenizer"]
    return TokenFormat(
        model=tokenizer["name"],
        digest=tokenizer["digest"],
        levels=clip.levels,
        token_type="uint16" if tokenizer["codebook"] <= 1 << 16 else "uint32",
        time_factor=tokenizer["time_factor"],
        space_factor=tokenizer["space_factor"],
        causal=tokenizer["is_causal"],
        width=about["width"],
        height=about["height"],
        framerate=clip.framerate,
        pixels=tokenizer.get("pixels"),
    )


def write_clip(path: Path, clip: Clip, tokens: Tokens) -> None:
    """Writes `[t, h, w]` tokens as one segment, in the clip's format, size and framerate."""
    format = format_of(clip)
    if not format.causal:
        # A segment is a window there, and all latent frames of a window are made at once.
        raise ValueError(f"{clip.key}: {format.model} is not causal: one latent frame does not follow the other")
    write(path, Stream.of(format, tokens.astype(format.dtype)))
