"""Makes golden.json and golden.npz: video files as VidTok's own code would read, resize and tokenize them.

    pip install torch==2.15.0 torchvision==0.29.2 av==18.1.0 numpy
    python tests/data/clips/make.py FOLDER [--clips]

FOLDER has `reference.py`: VidTok's networks on whole clips in PyTorch, which is not a part of this project.
`VidTok(weights, model).encode(x)` gives the latent `[1, C, t, h, w]` of RGB `[1, 3, T, H, W]` from -1 to 1,
`fsq(z, levels)` its indices, and `MODELS` has the published configurations. It gives what is in tests/data/golden.
`--clips` makes the clips again, with FFmpeg 5 (libx264). turned-bt709.mp4 is cut from examples/signing.mp4 and has its
licence (examples/README.md).

golden.json lists the cases. For each one, golden.npz has tokens, and for FSQ the cells in which a digit is nearer than
`TIE` to the border between two levels, so that rounding may go either way: bits, as NumPy's packbits makes them.
"""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torchvision
from torchvision.transforms import v2

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
sys.path[:0] = [str(FOLDER.parent), sys.argv[1]]

import recipe  # noqa: E402
import reference  # noqa: E402

CELL = 8
TIE = 1e-3

SIGNING, TURNED, ODD = "examples/signing.mp4", "tests/data/clips/turned-bt709.mp4", "tests/data/clips/odd-444.mp4"
# How a tag turns them, clockwise.
QUARTERS = {SIGNING: 0, TURNED: 3, ODD: 0}
# How many of their frames are read: of the made ones all, which are no whole groups.
FRAMES = {SIGNING: 16, TURNED: 11, ODD: 11}
CAUSAL, OLDER, WINDOWS = (
    "vidtok_fsq_causal_488_32768_v1_1",
    "vidtok_kl_causal_488_4chn",
    "vidtok_fsq_noncausal_488_262144",
)
# At their own size, and by `size=`. The real one is large, and the networks are slow in a debug build.
CASES = [
    *((clip, "", model) for clip in (TURNED, ODD) for model in (CAUSAL, OLDER, WINDOWS)),
    *((SIGNING, "56x48", model) for model in (CAUSAL, OLDER, WINDOWS)),
    (TURNED, "48", CAUSAL),
    (TURNED, "48", OLDER),
    (ODD, "48x40", CAUSAL),
    (ODD, "48x40", WINDOWS),
]


def make_clips() -> None:
    x264 = ["-c:v", "libx264", "-crf", "24", "-preset", "slow", "-bitexact"]
    bt709 = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    stored = FOLDER / "stored.mp4"
    cut = ["-frames:v", str(FRAMES[TURNED]), "-vf", "crop=96:64:144:90,scale=out_color_matrix=bt709"]
    ffmpeg("-i", ROOT / SIGNING, *cut, *bt709, *x264, stored)
    ffmpeg("-i", stored, "-metadata:s:v:0", "rotate=90", "-c", "copy", "-bitexact", ROOT / TURNED)
    stored.unlink()
    frames = recipe.frames(FRAMES[ODD], 59, 77, seed=4)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "77x59", "-r", "25", "-i", "-"]
    ffmpeg(*raw, "-pix_fmt", "yuv444p", *x264, ROOT / ODD, data=frames.tobytes())


def ffmpeg(*arguments: str | Path, data: bytes = b"") -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], input=data, check=True)


def pictures(clip: str, size: str) -> torch.Tensor:
    """The clip's frames from 0 to 255, `[count, 3, height, width]`, in whole cells."""
    with av.open(str(ROOT / clip)) as file:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in islice(file.decode(video=0), FRAMES[clip])])
    # PyAV does not look at the tag; decord and torchcodec turn pictures, as players do.
    frames = np.rot90(frames, -QUARTERS[clip], axes=(1, 2))
    planes = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    if "x" in size:
        width, height = map(int, size.split("x"))
        planes = v2.CenterCrop((height, width))(v2.Resize(height, antialias=True)(planes))
    elif size:
        planes = v2.Resize(int(size), antialias=True)(planes)
    height, width = planes.shape[2:]
    return torch.nn.functional.pad(planes, (0, -width % CELL, 0, -height % CELL), mode="replicate")


def tokens(planes: torch.Tensor, name: str, goes_on: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Tokens `[t, h, w]`, or means `[t, h, w, C]`; and for FSQ where ties are. `goes_on`: the clip has more frames."""
    with np.load(FOLDER.parent / "golden" / f"{name}.npz") as file:
        meta = json.loads(str(file["meta"]))
    model = reference.MODELS[name]
    group, first = (16, 0) if model["family"] == "noncausal" else (model["time_factor"], 1)
    if goes_on:
        # The frames behind are in a group with the last ones.
        planes = planes[: len(planes) - (len(planes) - first) % group]
    # The last group is filled up with its last frame.
    planes = torch.cat([planes, planes[-1:].expand((first - len(planes)) % group, -1, -1, -1)])
    network = reference.VidTok(recipe.weights(meta["shapes"], meta["seed"]), model)
    with torch.no_grad():
        z = network.encode(planes.permute(1, 0, 2, 3)[None] / 127.5 - 1)
    if model["regularizer"] == "kl":
        return z.chunk(2, 1)[0][0].permute(1, 2, 3, 0).numpy(), None
    indices = reference.fsq(z, model["levels"])[0][0].numpy()
    return indices.astype(np.uint16 if indices.max() < 1 << 16 else np.uint32), near_tie(z[0], model["levels"])


def near_tie(z: torch.Tensor, levels: list[int]) -> np.ndarray:
    n = np.array(levels, float).reshape(-1, 1, 1, 1)
    half, offset = (n - 1) * 1.001 / 2, np.where(n % 2, 0, 0.5)
    digits = np.tanh(z.numpy() + np.arctanh(offset / half)) * half - offset
    return (abs(digits - np.floor(digits) - 0.5) < TIE).any(axis=0)


def main() -> None:
    if "--clips" in sys.argv:
        make_clips()
    rows: list[dict[str, Any]] = []
    arrays = {}
    for number, (clip, size, model) in enumerate(CASES):
        found, ties = tokens(pictures(clip, size), model, clip == SIGNING)
        arrays[f"tokens{number}"] = found
        if ties is not None:
            arrays[f"ties{number}"] = np.packbits(ties)
        share = 0 if ties is None else float(ties.mean())
        rows.append({"clip": clip, "size": size, "model": model, "frames": FRAMES[clip], "goes_on": clip == SIGNING})
        print(*rows[-1].values(), found.shape, f"{100 * share:.2f}% near a tie")
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "pyav": av.__version__}
    cases = ",\n".join(map(json.dumps, rows))
    (FOLDER / "golden.json").write_text(f'{{"versions": {json.dumps(versions)},\n"cases": [\n{cases}\n]}}\n')
    np.savez_compressed(FOLDER / "golden.npz", **arrays)


if __name__ == "__main__":
    main()
