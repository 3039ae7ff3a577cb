"""Clips of a data set made again: their first seconds as tokens and as pictures, beside the original."""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from vidtok_stream import Stream, StreamError, read

from .errors import ClipError, DatasetError
from .gstreamer import GLib, Gst, GstVideo
from .options import Options
from .pictures import Picture, fitted, psnr, squared_error, token_colours, turned
from .pipeline import STALL_SECONDS, Running, Tokenized, Tokenizer
from .sources import Clip

SECONDS = 2.0
# Pictures of a clip that are kept for the comparison. Of large ones, these are fewer than those of `SECONDS`.
MAX_BYTES = 256 << 20
# Moments that are shown: at these parts of the frames that are compared.
MOMENTS = (0.0, 0.7)
# Two sides may round the same time to other nanoseconds.
SAME_TIME = 1000
CONVERT_TIMEOUT = 20 * Gst.SECOND


@dataclass(frozen=True)
class Moment:
    """A frame of the video, and what became of it."""

    seconds: float
    """In the video."""
    original: Picture
    reconstruction: Picture
    tokens: Picture
    """A pixel for each token."""
    psnr: float


@dataclass
class Example:
    """A clip, measured, or why it is not."""

    clip: Clip
    problem: str | None = None
    width: int = 0
    """Of the pictures that were compared, in pixels."""
    height: int = 0
    frames: int = 0
    """That were compared."""
    psnr: float = 0.0
    """Of the mean squared error of all of them."""
    moments: list[Moment] = field(default_factory=list)


def choose(clips: Sequence[Any], count: int) -> list[Any]:
    """So many of them, evenly spread, from the first to the last."""
    if len(clips) <= count:
        return list(clips)
    return [clips[at] for at in np.linspace(0, len(clips) - 1, count).round().astype(int)]


def make_examples(
    clips: Sequence[tuple[Clip, str]], options: Options, running: Running, digest: str, stop: threading.Event
) -> list[Example]:
    """Measures clips, each given with its video's checksum.

    Raises a `DatasetError` where the tokenizer with that digest is not here, and `InterruptedError` after `stop`.
    """
    with _Watched(options, running) as tokenizer, tempfile.TemporaryDirectory() as folder:
        if tokenizer.format.digest != digest:
            raise DatasetError(
                f"the tokenizer here is {tokenizer.format.model} with the digest {tokenizer.format.digest[:12]}, and"
                f" the data set's has {digest[:12]}"
            )
        file = Path(folder) / "tokens.vidtok"
        return [_example(tokenizer, clip, sha256, file, stop) for clip, sha256 in clips]


def _example(tokenizer: "_Watched", clip: Clip, sha256: str, file: Path, stop: threading.Event) -> Example:
    if not Path(clip.path).is_file():
        return Example(clip, "the video is not there any more")
    start = clip.start or 0.0
    end = min(start + SECONDS, clip.end or start + SECONDS)
    part = Clip(key=clip.key, path=clip.path, start=clip.start, end=end)
    try:
        originals, tokenized = tokenizer.watch(part, file, stop)
        if tokenized.sha256 != sha256:
            return Example(clip, "the video is another one than the data set was made of")
        stream = read(file)
        decoded = _decode(file, tokenizer.options, tokenizer.running, len(originals))
    except (ClipError, StreamError) as error:
        return Example(clip, str(error))
    return _compare(clip, originals, decoded, stream, tokenizer.options)


def _compare(
    clip: Clip, originals: dict[int, Picture], decoded: dict[int, Picture], stream: Stream, options: Options
) -> Example:
    is_exact = "x" in (options.size or "")
    pairs = []
    for time, picture in decoded.items():
        nearest = min(originals, key=lambda other: abs(other - time), default=None)
        if nearest is None or abs(nearest - time) > SAME_TIME:
            continue
        size = (picture.shape[1], picture.shape[0])
        pairs.append((time, fitted(originals[nearest], size, options.fit, is_exact), picture))
    if not pairs:
        return Example(clip, "none of its frames could be compared")
    errors = [squared_error(original, picture) for _, original, picture in pairs]
    height, width = pairs[0][1].shape[:2]
    example = Example(clip, width=width, height=height, frames=len(pairs), psnr=psnr(float(np.mean(errors))))
    latent_of = np.repeat(np.arange(len(stream.tokens)), stream.real_frames)
    for at in sorted({int(share * (len(pairs) - 1)) for share in MOMENTS}):
        time, original, picture = pairs[at]
        tokens = stream.tokens[latent_of[int(np.abs(stream.pts - time).argmin())]]
        colours = token_colours(tokens, stream.format.levels)
        example.moments.append(Moment(time / Gst.SECOND, original, picture, colours, psnr(errors[at])))
    return example


class _Watched(Tokenizer):
    """Keeps the pictures that its encoder takes."""

    def __init__(self, options: Options, running: Running) -> None:
        self.running = running
        self._kept: dict[int, Picture] | None = None
        self._bytes = 0
        super().__init__(options, running)

    def watch(self, clip: Clip, target: Path, stop: threading.Event) -> tuple[dict[int, Picture], Tokenized]:
        """The clip's frames in RGB by their time in the video, as a player shows them, and what became of it."""
        self._kept, self._bytes = {}, 0
        try:
            tokenized = self.tokenize(clip, target, stop)
            return self._kept, tokenized
        finally:
            self._kept = None

    def encoder(self) -> Gst.Element:
        encoder = super().encoder()
        encoder.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self._keep)
        return encoder

    def _keep(self, pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        if self._kept is None or self._bytes > MAX_BYTES:
            return Gst.PadProbeReturn.OK
        buffer = info.get_buffer()
        segment = pad.get_sticky_event(Gst.EventType.SEGMENT, 0).parse_segment()
        time = segment.to_stream_time(Gst.Format.TIME, buffer.pts)
        # Converted here: a decoder has only so many buffers to give.
        picture = rgb(Gst.Sample.new(buffer, pad.get_current_caps(), segment, None))
        if picture is not None:
            self._kept[time] = turned(picture, _orientation(pad))
            self._bytes += picture.nbytes
        return Gst.PadProbeReturn.OK


def _orientation(pad: Gst.Pad) -> str:
    """As the tags on a pad say; those of the stream count before those of the file."""
    found = {}
    index = 0
    while (event := pad.get_sticky_event(Gst.EventType.TAG, index)) is not None:
        tags = event.parse_tag()
        known, orientation = tags.get_string("image-orientation")
        if known:
            found[tags.get_scope()] = orientation
        index += 1
    return found.get(Gst.TagScope.STREAM) or found.get(Gst.TagScope.GLOBAL) or "rotate-0"


def rgb(sample: Gst.Sample) -> Picture | None:
    """A frame's picture; `None` where GStreamer does not convert it."""
    structure = sample.get_caps().get_structure(0)
    if structure.get_string("format") != "RGB":
        caps = Gst.Caps.from_string("video/x-raw,format=RGB")
        try:
            sample = GstVideo.video_convert_sample(sample, caps, CONVERT_TIMEOUT)
        except GLib.Error:
            return None
    structure = sample.get_caps().get_structure(0)
    (_, width), (_, height) = structure.get_int("width"), structure.get_int("height")
    buffer = sample.get_buffer()
    data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
    stride = (3 * width + 3) // 4 * 4
    if data.size < stride * height:
        return None
    return data[: stride * height].reshape(height, stride)[:, : 3 * width].reshape(height, width, 3)


def _decode(file: Path, options: Options, running: Running, most: int) -> dict[int, Picture]:
    """The first frames of a file of tokens, by their time. Raises a `ClipError`."""
    line = (
        "filesrc name=source ! vidtokparse ! vidtokdec name=decoder ! video/x-raw,format=RGB"
        " ! appsink name=sink sync=false max-buffers=4"
    )
    try:
        pipeline = Gst.parse_launch(line)
    except GLib.Error as error:
        raise DatasetError(f"tokens cannot be decoded ({error.message}): install gstreamer1.0-plugins-base") from error
    pipeline.get_by_name("source").set_property("location", str(file))
    decoder, sink = pipeline.get_by_name("decoder"), pipeline.get_by_name("sink")
    if options.model is not None:
        decoder.set_property("model", options.model)
    Gst.util_set_object_arg(decoder, "execution-provider", running.provider)
    decoder.set_property("device-id", running.device)
    frames: dict[int, Picture] = {}
    pipeline.set_state(Gst.State.PLAYING)
    try:
        while len(frames) < most:
            sample = sink.emit("try-pull-sample", STALL_SECONDS * Gst.SECOND)
            if sample is None:
                break
            # The times in the file are the video's. As stream time, they would begin at 0.
            if (picture := rgb(sample)) is not None:
                frames[sample.get_buffer().pts] = picture
        message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        if message is not None:
            raise ClipError(f"its tokens are not decoded: {message.parse_error()[0].message}")
    finally:
        pipeline.set_state(Gst.State.NULL)
    return frames


def encoded(picture: Picture, kind: str) -> bytes:
    """The picture as a file, `image/jpeg` or `image/png`. Raises a `DatasetError` without the element for that."""
    height, width = picture.shape[:2]
    stride = (3 * width + 3) // 4 * 4
    rows = np.zeros((height, stride), np.uint8)
    rows[:, : 3 * width] = picture.reshape(height, 3 * width)
    caps = Gst.Caps.from_string(f"video/x-raw,format=RGB,width={width},height={height},framerate=25/1")
    sample = Gst.Sample.new(Gst.Buffer.new_wrapped(rows.tobytes()), caps, None, None)
    try:
        done = GstVideo.video_convert_sample(sample, Gst.Caps.from_string(kind), CONVERT_TIMEOUT)
    except GLib.Error as error:
        raise DatasetError(f"no {kind} can be made ({error}): install gstreamer1.0-plugins-good") from error
    buffer = done.get_buffer()
    return buffer.extract_dup(0, buffer.get_size())
