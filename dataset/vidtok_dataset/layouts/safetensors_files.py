"""A safetensors file a sample, named as trainers that cache latents name theirs."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..sample import Sample
from .base import BFLOAT16, FileEntry, Layout, LayoutError, needed
from .output import entries, whole_folder

ARCHITECTURE = "vidtok"


class Safetensors(Layout):
    """`shard-00000/KEY_FIRST-FRAMES_WIDTHxHEIGHT_vidtok.safetensors`.

    The file has one tensor, `tokens` `[F, h, w]` or `latents_FxHxW_TYPE` `[C, F, H, W]`, and one of each side data,
    `varlen_NAME_TYPE`. The header's `__metadata__` has the rest.
    """

    name = "safetensors"
    index_types = ("int32", "uint16", "int16", "uint32", "int64")
    latent_types = ("float32", "float16", BFLOAT16)
    packages = ("safetensors.numpy",)

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        save = needed("safetensors.numpy", self.name).save
        target = folder / f"shard-{number:05d}"
        with whole_folder(target) as part:
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                tensors = {self._tensor_name(sample): self.convert(sample)}
                for name, values in sample.fields.items():
                    tensors[f"varlen_{name}_{values.dtype}"] = np.ascontiguousarray(values)
                path = part / file_name(sample)
                if path.exists():
                    raise LayoutError(f"key: two samples of the shard are called {path.name}")
                path.write_bytes(_sorted(save(tensors, _metadata(sample))))
        return entries(folder, target)

    def _tensor_name(self, sample: Sample) -> str:
        if sample.tokenizer.codebook:
            return "tokens"
        rows, columns = sample.tokenizer.grid
        return f"latents_{len(sample.tokens)}x{rows}x{columns}_{self.type_of(sample.tokenizer)}"


def file_name(sample: Sample) -> str:
    """The name that says key, first frame, frames, and size of the video."""
    size = f"{sample.tokenizer.width:04d}x{sample.tokenizer.height:04d}"
    return f"{sample.key}_{sample.first_frame:05d}-{sample.frames:03d}_{size}_{ARCHITECTURE}.safetensors"


def _metadata(sample: Sample) -> dict[str, str]:
    return {
        "architecture": ARCHITECTURE,
        "format_version": "1.0.1",
        "frame_count": str(sample.frames),
        "height": str(sample.tokenizer.height),
        "vidtok": json.dumps(sample.describe_with_times(), separators=(",", ":")),
        "width": str(sample.tokenizer.width),
    }


def _sorted(data: bytes) -> bytes:
    """The file with its metadata in the order of the keys: safetensors 0.8 has them in another one each time."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
