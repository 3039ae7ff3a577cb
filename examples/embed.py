#!/usr/bin/env python3
"""Tokens in a Python program: NumPy pictures go in, NumPy tokens come out; tokens go in, pictures come out.

    ./examples/embed.py [--size WIDTHxHEIGHT] [--frames N]

Needs, by their names on Debian: python3-gi, gir1.2-gst-plugins-base-1.0, python3-numpy, python3-gst-1.0; and the plugin
in GST_PLUGIN_PATH. The last one lets Python see a buffer's memory; without it, each look at a buffer copies it.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import gi
import numpy as np
from numpy.typing import NDArray

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstApp  # noqa: E402, F401 (GstApp: the methods of appsrc and appsink)

# Nanoseconds. No picture and no token takes longer, so whoever waits that long waits for nothing.
PATIENCE = 60 * Gst.SECOND


class Line:
    """Elements that this program feeds and reads."""

    def __init__(self, elements: str, caps: Gst.Caps | str) -> None:
        # Not at the pace of a clock (`sync`), but as fast as it goes.
        text = f"appsrc name=source format=time ! {elements} ! appsink name=sink sync=false"
        try:
            self._pipeline = Gst.parse_launch(text)
        except GLib.Error as error:
            raise RuntimeError(f"{error.message}: is the plugin's folder in GST_PLUGIN_PATH?") from error
        self._source, self._sink = self._pipeline.get_by_name("source"), self._pipeline.get_by_name("sink")
        self._source.set_caps(Gst.Caps.from_string(caps) if isinstance(caps, str) else caps)

    def __enter__(self) -> "Line":
        self._pipeline.set_state(Gst.State.PLAYING)
        return self

    def __exit__(self, *_: object) -> None:
        # A pipeline that is not stopped keeps its threads.
        self._pipeline.set_state(Gst.State.NULL)

    def push(self, numbers: NDArray[np.generic], pts: int = Gst.CLOCK_TIME_NONE, delta: bool = False) -> None:
        """Returns at once. For pictures without end, set appsrc's `block` and `max-buffers`, and push from a thread."""
        # The one copy that is unavoidable: the array's memory is Python's, and may change. Numbers that are computed
        # here can be computed in GStreamer's memory instead, as into any array: `writable` gives it.
        buffer = Gst.Buffer.new_allocate(None, numbers.nbytes, None)
        with writable(buffer, numbers.dtype, numbers.shape) as memory:
            np.copyto(memory, numbers)
        buffer.pts = pts
        if delta:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        self._source.push_buffer(buffer)

    def end(self) -> None:
        """Says that nothing more goes in."""
        self._source.end_of_stream()

    def ready(self) -> Iterator[Gst.Sample]:
        """What has come out already."""
        while sample := self._sink.try_pull_sample(0):
            yield sample

    def rest(self) -> Iterator[Gst.Sample]:
        """What still comes out. Raises a `RuntimeError` in the element's words: what is wrong, what to do."""
        while sample := self._sink.try_pull_sample(PATIENCE):
            yield sample
        # An error ends the stream, too: only the bus tells them apart.
        if message := self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR):
            raise RuntimeError(message.parse_error()[0].message)
        if not self._sink.is_eos():
            raise RuntimeError(f"nothing came for {PATIENCE // Gst.SECOND} s")


@contextmanager
def readable(buffer: Gst.Buffer, dtype: str) -> Iterator[NDArray[np.generic]]:
    """The buffer's own memory as numbers. No copy: after the `with`, they are gone."""
    with buffer.map(Gst.MapFlags.READ) as info:
        yield np.frombuffer(info.data, dtype)


@contextmanager
def writable(buffer: Gst.Buffer, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[NDArray[np.generic]]:
    with buffer.map(Gst.MapFlags.WRITE) as info:
        yield np.frombuffer(info.data, dtype).reshape(shape)


def encode(pictures: Iterable[NDArray[np.uint8]], width: int, height: int) -> tuple[Gst.Caps, list[NDArray[np.uint16]]]:
    """Tokens of pictures `[height, width, 3]`: a `[t, h, w]` per buffer, and the caps that say all else of them."""
    # GStreamer pads rows to 4 bytes.
    padded = -(-width * 3 // 4) * 4
    tokens: list[NDArray[np.uint16]] = []
    caps = None
    # Without the caps behind it, vidtokenc gives packets of the byte stream, as files have them (docs/stream.md).
    with Line(
        "vidtokenc ! video/x-vidtok,stream-format=raw",
        f"video/x-raw,format=RGB,width={width},height={height},framerate=30/1",
    ) as line:

        def take(samples: Iterable[Gst.Sample]) -> None:
            nonlocal caps
            for sample in samples:
                caps = sample.get_caps()
                fields = caps.get_structure(0)
                h, w = (fields.get_int(name)[1] for name in ("grid-height", "grid-width"))
                # Other tokenizers may have other types: the field `token-type`.
                with readable(sample.get_buffer(), "<u2") as numbers:
                    # A copy because it is kept.
                    tokens.append(numbers.reshape(-1, h, w).copy())

        for number, picture in enumerate(pictures):
            rows = np.pad(picture.reshape(height, width * 3), ((0, 0), (0, padded - width * 3)))
            line.push(rows, pts=number * Gst.SECOND // 30)
            take(line.ready())
        line.end()
        take(line.rest())
    if caps is None:
        raise RuntimeError("there were no pictures")
    return caps, tokens


def decode(caps: Gst.Caps | str, tokens: Iterable[NDArray[np.uint16]]) -> Iterator[NDArray[np.uint8]]:
    """Pictures `[height, width, 3]` of tokens, each array whole latent frames.

    Caps of one's own need no more than
    `video/x-vidtok,stream-format=raw,model=vidtok-small-488-32768,width=256,height=192,framerate=30/1` (docs/raw.md).
    """
    with Line("vidtokdec ! video/x-raw,format=RGB", caps) as line:
        for number, each in enumerate(tokens):
            # All are one segment. A buffer without this flag starts another one, which knows nothing of those before.
            line.push(each.astype("<u2", copy=False), delta=number > 0)
        line.end()
        for sample in line.rest():
            fields = sample.get_caps().get_structure(0)
            height, width = (fields.get_int(name)[1] for name in ("height", "width"))
            with readable(sample.get_buffer(), "u1") as numbers:
                yield numbers.reshape(height, -1)[:, : width * 3].reshape(height, width, 3).copy()


def wave(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A made-up picture."""
    y, x = np.mgrid[:height, :width]
    red = np.sin((x + 4 * number) / 40) * np.cos(y / 30) * 90 + 128
    return np.stack([red, x * 127 // width, np.full_like(x, 96)], axis=-1).astype(np.uint8)


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="256x192", help="WIDTHxHEIGHT of the pictures (256x192)")
    parser.add_argument("--frames", type=int, default=17, help="how many pictures (17)")
    options = parser.parse_args()
    Gst.init(None)
    # PyGObject alone gives a pair of a flag and a copy.
    if isinstance(Gst.Buffer.new_allocate(None, 1, None).map(Gst.MapFlags.READ), tuple):
        sys.exit("embed.py: needs python3-gst-1.0, by its name on Debian")
    try:
        width, height = (int(part) for part in options.size.split("x"))
    except ValueError:
        parser.error(f"--size {options.size}: WIDTHxHEIGHT, such as 256x192")
    if min(width, height, options.frames) < 1:
        parser.error("--size, --frames: at least 1")
    pictures = [wave(number, width, height) for number in range(options.frames)]
    try:
        caps, tokens = encode(pictures, width, height)
        print(f"tokens {[each.shape for each in tokens]}, the first ones {tokens[0].flat[:6]}")
        back = list(decode(caps, tokens))
    except RuntimeError as error:
        sys.exit(f"embed.py: {error}")
    # The last latent frame always stands for four pictures where nothing says how many are real: see docs/raw.md.
    print(f"pictures {back[0].shape}: {len(pictures)} in, {len(back)} out")
    print(f"PSNR {np.mean([psnr(*pair) for pair in zip(pictures, back, strict=False)]):.1f} dB")


if __name__ == "__main__":
    main()
