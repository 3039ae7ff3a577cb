"""When the frames of a packet are shown. All times are nanoseconds.

A packet has the time of its first frame and how long all of them last together. Where frames are not evenly spaced,
it also has an offset for each frame but the first. Evenly spaced means on the grid of the framerate: frame k of the
video at floor(k / framerate) seconds.
"""

from collections.abc import Sequence
from fractions import Fraction

SECOND = 1_000_000_000
UNKNOWN = -1
_MAX_INT64 = (1 << 63) - 1


def even_offsets(pts: int, duration: int | None, frames: int, framerate: Fraction) -> list[int] | None:
    """Time from the first of evenly spaced frames to each other one; `None` where it is not known.

    Counts from the first point of the framerate's grid at or after `pts`: offset i is the time of grid point k + i
    less that of grid point k. Without a framerate the frames share the duration, rounded down.
    """
    if framerate:
        second, rate = SECOND * framerate.denominator, framerate.numerator
        first = -(-pts * rate // second)
        # floor((first + i) · second / rate) - floor(first · second / rate), with what both have in common left out.
        phase = first * second % rate
        return [(phase + i * second) // rate for i in range(1, frames)]
    if frames == 1:
        return []
    return None if duration is None else [i * duration // frames for i in range(1, frames)]


def frame_times(
    pts: int | None, duration: int | None, offsets: Sequence[int] | None, frames: int, framerate: Fraction
) -> tuple[list[int], list[int]]:
    """PTS and duration of each of a packet's frames, `UNKNOWN` where the stream does not say it.

    Each frame lasts until the next, the last one until the packet's end.
    """
    if pts is None:
        return [UNKNOWN] * frames, [UNKNOWN] * frames
    if offsets is None:
        offsets = even_offsets(pts, duration, frames, framerate)
    if offsets is None or (offsets and pts + offsets[-1] > _MAX_INT64):
        return [pts] + [UNKNOWN] * (frames - 1), [UNKNOWN] * frames
    starts = [pts, *(pts + offset for offset in offsets)]
    durations = [end - start for start, end in zip(starts, starts[1:], strict=False)]
    durations.append(UNKNOWN if duration is None else pts + duration - starts[-1])
    # A frame that is shown before the one in front of it leaves that one without a duration.
    return starts, [max(duration, UNKNOWN) for duration in durations]


def packet_times(
    pts: Sequence[int], durations: Sequence[int], framerate: Fraction
) -> tuple[int | None, int | None, list[int] | None]:
    """PTS, duration and offsets of a packet, from those of its frames: what `frame_times` takes apart."""
    first = pts[0]
    if first < 0:
        return None, None, None
    duration = None if durations[-1] < 0 or pts[-1] < 0 else pts[-1] + durations[-1] - first
    if min(pts) < 0:
        return first, duration, None
    offsets = [time - first for time in pts[1:]]
    return first, duration, None if offsets == even_offsets(first, duration, len(pts), framerate) else offsets
