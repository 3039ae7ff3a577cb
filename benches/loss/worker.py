"""Runs all the lines of one coder on one clip. `sweep.py` starts it, and reads a line of JSON for each run.

Reads one job as JSON from standard input. Runs by Debian's Python, which has GStreamer, and needs no other package.
"""

import json
import resource
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence, Set
from pathlib import Path

import coders
import transport
from channel import Line, lost_packets
from quality import measure, shown
from transport import Clip, Packets

# Of a depayloader.
ON_LOST_START = {"tokens": "conceal", "tokens-hold": "hold"}
GREY = 128


def main() -> None:
    job = json.load(sys.stdin)
    size, original = job["size"], Path(job["original"])
    pictures = [original.read_bytes()[at : at + size**2 * 3] for at in range(0, original.stat().st_size, size**2 * 3)]
    clip = Clip(pictures, size, job["rate"])
    options = {"key_interval": job["key-interval"], "mtu": job["mtu"]}
    match job["coder"]:
        case "h264":
            coder = coders.h264(clip, **options)
        case "tokens-raptorq":
            coder = coders.tokens_raptorq(clip, **options)
        case name:
            coder = coders.tokens(clip, **options, on_lost_start=ON_LOST_START[name])
    packets = coder.encode(job["fec"])
    frames = packets.frames()
    empty = bytes([GREY]) * size**2 * 3
    if coder.receiver:
        receiver = coder.receiver(packets)
    else:
        receiver = transport.receiver(packets, job["jitter-buffer"])
    clean: dict[str, object] = {}
    for line, seed in job["lines"]:
        started = time.monotonic()
        lost = lost_packets(Line(**line), f"{job['clip']} {seed}", len(packets.buffers), protected=len(frames[0]))
        # The same packets give the same pictures.
        whole = not lost or receiver.all_repaired(lost)
        figures = clean if whole else {}
        if not figures:
            seen = shown(receiver.receive(lost, coder.decoder), clip.times(), empty)
            quality = measure(seen.pictures, original, size)
            figures = {"psnr": quality.psnr, "ssim": quality.ssim, "frames": seen.frames, "faults": seen.faults}
        if whole:
            clean = figures
        run = {
            **line,
            "seed": seed,
            **figures,
            "packets": len(packets.buffers),
            "lost": len(lost),
            "arrived": arrived_frames(clip, packets, frames, lost),
            "bytes": packets.bytes(),
            "resident-kib": resident_kib(),
            "seconds": time.monotonic() - started,
        }
        print(json.dumps(run), flush=True)


def arrived_frames(clip: Clip, packets: Packets, frames: Sequence[Sequence[int]], lost: Set[int]) -> int:
    """How many frames of the clip some packet came of. Repair data does not count: alone, it may not be enough."""
    starts = [packets.buffers[positions[0]].pts - packets.buffers[0].pts for positions in frames]
    stamped = [bisect_right(starts, time) - 1 for time in clip.times()]
    came = [any(packets.is_media(at) and at not in lost for at in positions) for positions in frames]
    return sum(came[number] for number in stamped)


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


if __name__ == "__main__":
    main()
