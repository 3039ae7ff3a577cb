"""A teacher: a tokenizer folder as `models/export.py` writes it, whose encoder gives the tokens to learn.

Latent frame 0 stands for a clip's first frame, latent frame k for frames 4k - 3 to 4k, and tokens depend on no later
frame. This holds for every causal VidTok at 4x8x8, as for the small network. The look-ahead of v1.1's own decoder does
not change what tokens stand for.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from graph_runner import CPU, GraphRunner, encode
from shape import BLOCK, GROUP
from vidtok_export.limits import MAX_CODEBOOK
from vidtok_export.tokenizer import Description

# Without TF32, which would change some tokens.
GPU = (("CUDAExecutionProvider", {"use_tf32": "0"}), *CPU)


class Folder:
    """A tokenizer folder: its description, and its graphs for the target `cpu` in fp32."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.description, self.files = read(place)
        check(place, self.description)

    def path(self, role: str) -> Path:
        path = self.place / self.files[role]
        if not path.is_file():
            raise SystemExit(f"{path} is missing: export the tokenizer again")
        return path

    def graph(self, role: str) -> onnx.ModelProto:
        model = onnx.load(self.path(role))
        self.check_graph(role, {entry.key: entry.value for entry in model.metadata_props})
        return model

    def runner(self, role: str, threads: int, providers: Sequence[object] = CPU) -> GraphRunner:
        runner = GraphRunner(self.path(role), threads, providers)
        self.check_graph(role, runner.session.get_modelmeta().custom_metadata_map)
        return runner

    def check_graph(self, role: str, metadata: Mapping[str, str]) -> None:
        """Refuse a graph of another role, or of another tokenizer than the folder describes."""
        for key, expected in (("role", role), ("digest", self.description.digest)):
            found = metadata.get(f"vidtok.{key}", "nothing")
            if found != expected:
                raise SystemExit(f"{self.path(role)}: its {key} is {found}, but {expected} is needed")


class Teacher(Folder):
    def __init__(self, place: Path, threads: int = 2, cache: Path | None = None) -> None:
        """`cache`: a folder to keep the tokens of each batch in, by a hash of the teacher and the pixels."""
        super().__init__(place)
        self.cache = cache
        from vidtok_export.onnx_runtime import onnxruntime

        has_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        self.encoder = self.runner("encoder", threads, GPU if has_gpu else CPU)

    @property
    def provider(self) -> str:
        """The execution provider that runs the encoder."""
        return self.encoder.session.get_providers()[0]

    def tokens(self, clips: np.ndarray) -> np.ndarray:
        """The tokens, int32 `[N, 1 + k, h, w]`, of clips in uint8 `[N, 1 + 4k, H, W, 3]`."""
        if self.cache is None:
            return self.encode(clips)
        name = hashlib.sha256(f"{self.description.digest} {clips.shape} ".encode() + clips.tobytes()).hexdigest()
        path = self.cache / f"{name[:32]}.npy"
        if path.exists():
            return np.load(path)
        tokens = self.encode(clips)
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_name("partial.npy")
        np.save(partial, tokens)
        partial.replace(path)
        return tokens

    def encode(self, clips: np.ndarray) -> np.ndarray:
        return np.stack([encode(self.encoder, clip) for clip in clips])


def read(folder: Path) -> tuple[Description, dict[str, str]]:
    """A folder's description, and the files of its graphs by role. Raises SystemExit where it has none."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SystemExit(f"{folder} holds no tokenizer.json: a tokenizer folder is made by models/export.py")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        description = Description.from_entries(entries)
        plain = [v for v in entries["variants"] if (v["target"], v["precision"]) == ("cpu", "fp32")]
        if not plain:
            raise ValueError("it lists no graphs for the CPU in fp32: export it with --target cpu --precision fp32")
        return description, {role: str(plain[0][role]) for role in ("encoder", "decoder")}
    except KeyError as error:
        raise SystemExit(f"{path}: the key {error} is missing") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise SystemExit(f"{path}: {error}") from None


def check(folder: Path, description: Description) -> None:
    """Refuse a teacher whose tokens the small network cannot have."""
    levels, wrong = description.levels, []
    if levels is None:
        wrong.append(f"its tokens are {description.channels} continuous numbers (KL)")
    elif not all(isinstance(level, int) and level > 1 for level in levels) or math.prod(levels) > MAX_CODEBOOK:
        wrong.append(f"its levels are {levels}")
    if description.causal is not True:
        wrong.append("it is not causal")
    factors = (description.time_factor, description.space_factor)
    if factors != (GROUP, BLOCK):
        wrong.append(f"a token stands for {factors[0]}x{factors[1]}x{factors[1]} pixels")
    if wrong:
        raise SystemExit(
            f"{folder} cannot be used here: {', '.join(wrong)}. Supported are causal FSQ tokenizers at "
            f"{GROUP}x{BLOCK}x{BLOCK} with two or more levels per channel and at most {MAX_CODEBOOK:,} codes"
        )
