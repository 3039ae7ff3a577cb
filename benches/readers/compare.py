"""Compares the built-in tokenizer's tokens of video files with those of the frames that PyAV reads.

Needs FFmpeg's libraries by PyAV, GStreamer, and the plugin on GST_PLUGIN_PATH. `benches/readers.sh` sees to them.
"""

import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import readers_options

import stepping

SIZE, CELL = 256, 8
RAW = "video/x-vidtok,stream-format=raw"
WAYS = {
    "videoconvert": "videoconvert ! video/x-raw,format=RGB ! vidtokenc",
    "vidtokenc": "vidtokenc",
    "videoconvert, videoscale": (
        "videoconvert ! aspectratiocrop aspect-ratio=1/1 ! videoscale"
        f" ! video/x-raw,format=RGB,width={SIZE},height={SIZE},pixel-aspect-ratio=1/1 ! vidtokenc"
    ),
    "vidtokenc size=256x256": f"vidtokenc size={SIZE}x{SIZE}",
}


ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "models" / "vidtok-small-488-32768"


def resized(frames: np.ndarray) -> np.ndarray:
    """torchvision's Resize(SIZE, antialias=True) of float frames, and CenterCrop(SIZE)."""
    height, width = frames.shape[1:3]
    short = min(height, width)
    # The longer side is cut to a whole number.
    frames = along(frames.astype(np.float32), 2, width * SIZE // short)
    frames = along(frames, 1, height * SIZE // short)
    top, left = (round((side - SIZE) / 2) for side in frames.shape[1:3])
    return frames[:, top : top + SIZE, left : left + SIZE]


def along(frames: np.ndarray, axis: int, target: int) -> np.ndarray:
    source = frames.shape[axis]
    if source == target:
        return frames
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(1, scale))
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return np.moveaxis(np.tensordot(weights, frames, (1, axis)), 0, axis)


def encoded(frames: np.ndarray) -> np.ndarray:
    """Tokens of frames of any size, whose edges are repeated to whole cells."""
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, -height % CELL), (0, -width % CELL), (0, 0)), "edge")
    tokenizer = stepping.Tokenizer(TOKENIZER, *frames.shape[1:3])
    return tokenizer.encode(frames)["tokens"]


def tokens(video: Path, way: str, folder: str) -> np.ndarray:
    output = Path(folder) / "tokens.u16"
    line = f"filesrc location={video} ! decodebin ! {way} ! {RAW} ! filesink location={output}"
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], check=True, timeout=600)
    return np.fromfile(output, "<u2")


def kind(video: Path) -> str:
    with av.open(str(video)) as file:
        stream = file.streams.video[0]
        frame = next(file.decode(stream))
    matrix = {1: "BT.709", 5: "BT.601", 6: "BT.601"}.get(frame.colorspace, "untagged")
    return f"{frame.width}×{frame.height} {frame.format.name} {matrix}"


def differences(video: Path, count: int, folder: str) -> Iterator[tuple[str, float]]:
    """Each way, and the share of tokens that differ."""
    with av.open(str(video)) as file:
        frames = [
            frame.to_ndarray(format="rgb24") for frame, _ in zip(file.decode(video=0), range(count), strict=False)
        ]
    # Whole groups, so that the last one is the same in a pipeline that goes on.
    whole = np.stack(frames[: 1 + (len(frames) - 1) // 4 * 4])
    for picture, ways in ((whole, list(WAYS)[:2]), (resized(whole), list(WAYS)[2:])):
        reference = encoded(picture).ravel()
        for way in ways:
            found = tokens(video, WAYS[way], folder)[: len(reference)]
            yield way, float(np.mean(found != reference))


def main() -> None:
    options = readers_options.parse()
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    videos = sorted(path for path in options.clips.iterdir() if path.suffix in (".mp4", ".mkv", ".webm", ".mov"))
    with tempfile.TemporaryDirectory() as folder:
        for video in videos:
            for way, share in differences(video, options.frames, folder):
                shares[kind(video)][way].append(share)
    print(f"| kind of video | clips | {' | '.join(WAYS)} |\n| --- | ---: |{' ---: |' * len(WAYS)}")
    for name, ways in shares.items():
        cells = " | ".join(f"{100 * np.mean(values):.2f}%" for values in ways.values())
        print(f"| {name} | {len(next(iter(ways.values())))} | {cells} |")


if __name__ == "__main__":
    main()
