"""What a viewer sees of a decoded clip, and how good it is: PSNR and SSIM by FFmpeg's filters."""

import re
import subprocess
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Both compare planes. PSNR takes red, green and blue together, SSIM luma alone.
GRAPH = (
    "[0:v]format=gbrp,split[a][b];[1:v]format=gbrp,split[c][d];[a][c]psnr=stats_file=-[psnr];"
    "[b]format=yuv444p[e];[d]format=yuv444p[f];[e][f]ssim=stats_file=-[ssim]"
)
PSNR = re.compile(r"^n:\d+ .*\bpsnr_avg:(inf|[0-9.]+)", re.MULTILINE)
SSIM = re.compile(r"^n:\d+ Y:([0-9.]+)", re.MULTILINE)
# FFmpeg calls the PSNR of equal pictures infinite.
EQUAL = 100.0
# RTP counts in ticks of 1/90,000 second; a time goes through it twice at most.
TOLERANCE = 2 * 10**9 // 90_000


@dataclass(frozen=True)
class Quality:
    """Means over the frames of a clip."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Shown:
    """The picture that is seen at each frame's time, how many frames came, and what is wrong with their times."""

    pictures: list[bytes]
    frames: int
    faults: list[str]


def shown(decoded: Sequence[tuple[int, bytes]], times: Sequence[int], empty: bytes) -> Shown:
    """A picture is seen until the next one comes, and `empty` before the first one.

    `decoded`: PTS and picture, in the order in which they came. `times`: PTS of the frames that were sent, ascending.
    """
    faults = []
    came: dict[int, bytes] = {}
    last = -1
    for pts, picture in decoded:
        number = bisect_left(times, pts - TOLERANCE)
        if number == len(times) or times[number] > pts + TOLERANCE:
            faults.append(f"a frame has the PTS {pts}, which no frame was sent with")
        else:
            if number <= last:
                faults.append(f"frame {number} came after frame {last}")
            came[number] = picture
            last = number
    pictures = []
    seen = empty
    for number in range(len(times)):
        seen = came.get(number, seen)
        pictures.append(seen)
    return Shown(pictures, len(came), faults)


def measure(pictures: Sequence[bytes], original: Path, size: int) -> Quality:
    """Compare RGB pictures of `size`x`size` pixels with those in the file `original`."""
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size}x{size}")
    command = ["ffmpeg", "-v", "error", "-nostats", "-threads", "1", *raw, "-i", "pipe:0", *raw, "-i", str(original)]
    command += ["-filter_complex_threads", "1", "-filter_complex", GRAPH]
    command += ["-map", "[psnr]", "-f", "null", "-", "-map", "[ssim]", "-f", "null", "-"]
    run = subprocess.run(command, input=b"".join(pictures), stdout=subprocess.PIPE, check=True)
    return read(run.stdout.decode(), len(pictures))


def read(lines: str, frames: int) -> Quality:
    """The means of what FFmpeg's filters print: a line a frame from each."""
    psnr = [min(EQUAL, float(value)) for value in PSNR.findall(lines)]
    ssim = [float(value) for value in SSIM.findall(lines)]
    if not len(psnr) == len(ssim) == frames:
        raise RuntimeError(f"ffmpeg compared {len(psnr)} and {len(ssim)} frames, not {frames}")
    return Quality(sum(psnr) / frames, sum(ssim) / frames)
