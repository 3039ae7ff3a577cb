"""The elements that decode a clip: decodebin, or those that decodebin has chosen for a clip of the same kind.

Looking for them anew takes decodebin several milliseconds a clip.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .gstreamer import Gst, GstBase

# What is told of a clip.
NO_VIDEO, OTHER_KIND = "no-video", "other-kind"
# So many bytes of a file say which container it is.
HEAD = 4096
# Kinds that are kept: each size and each setting of an encoder is one.
MOST_KINDS = 1000

Link = Callable[[Gst.Pad], None]
Tell = Callable[[str], None]


class Piece(NamedTuple):
    """An element."""

    factory: str
    caps: str | None
    """Of a capsfilter."""


class Stream(NamedTuple):
    """A demuxer's stream of video, as far as the choice of a decoder depends on it."""

    demuxer: str
    caps: str

    @classmethod
    def of(cls, demuxer: str, caps: Gst.Caps) -> "Stream":
        structure = caps.get_structure(0).copy()
        # It is counted from the frames' times, and differs from clip to clip.
        structure.remove_field("framerate")
        return cls(demuxer, structure.to_string())


@dataclass(frozen=True)
class Kind:
    """What decodebin has made of a file with one stream of video."""

    container: str
    stream: Stream
    pieces: tuple[Piece, ...]
    """From behind the demuxer to the decoder."""


class Kinds:
    """What decodebin has chosen in this process."""

    def __init__(self) -> None:
        self._demuxers: dict[str, str] = {}
        self._pieces: dict[Stream, tuple[Piece, ...]] = {}

    def of(self, path: str) -> "Known | None":
        """Elements for a file, if there was one in the same container."""
        demuxer = self._demuxers.get(_container(path))
        return None if demuxer is None else Known(demuxer, self._pieces)

    def learn(self, path: str, kind: Kind) -> None:
        """A file was decoded without errors."""
        if _container(path) != kind.container:
            return
        if len(self._pieces) >= MOST_KINDS:
            self._pieces.clear()
        self._demuxers[kind.container] = kind.stream.demuxer
        self._pieces.setdefault(kind.stream, kind.pieces)

    def give_up(self, known: "Known") -> None:
        """decodebin has decoded what these elements could not."""
        if known.stream is not None:
            self._pieces[known.stream] = ()


class Search:
    """decodebin."""

    def __init__(self) -> None:
        self.element = Gst.ElementFactory.make("decodebin", "decoder")
        self.decoded: Gst.Pad | None = None
        """Gives decoded frames."""
        self._seen: list[tuple[Gst.Pad, Gst.Caps]] = []
        self._handlers: list[int] = []

    def connect(self, link: Link, tell: Tell) -> None:
        """`link` is called with `decoded`, and `tell` with `NO_VIDEO`."""

        def go_on(_decoder: Gst.Element, pad: Gst.GhostPad, caps: Gst.Caps) -> bool:
            if is_video := _is_of_video(caps):
                self._seen.append((pad.get_target(), caps))
            return is_video

        def added(_decoder: Gst.Element, pad: Gst.Pad) -> None:
            caps = pad.get_current_caps() or pad.query_caps(None)
            if self.decoded is None and caps.get_structure(0).get_name().startswith("video/x-raw"):
                self.decoded = pad
                link(pad)

        def check(_decoder: Gst.Element) -> None:
            if self.decoded is None:
                tell(NO_VIDEO)

        handlers = {"autoplug-continue": go_on, "pad-added": added, "no-more-pads": check}
        self._handlers = [self.element.connect(name, handler) for name, handler in handlers.items()]

    def close(self) -> None:
        """A handler of an element that refers to the element would keep all of them in memory."""
        for handler in self._handlers:
            self.element.disconnect(handler)
        self._seen.clear()
        self.decoded = None

    def kind(self) -> Kind | None:
        """What was found; `None`: it is not a demuxer with one stream of video, and one element behind the other."""
        pieces: list[Piece] = []
        pad = self.decoded.get_target() if isinstance(self.decoded, Gst.GhostPad) else None
        while pad is not None:
            element = pad.get_parent_element()
            name = _factory(element)
            if name == "multiqueue":
                # It only lets the streams of a file wait for each other.
                pad = element.get_static_pad(pad.get_name().replace("src", "sink")).get_peer()
                continue
            if len(element.sinkpads) != 1:
                return None
            if pad.get_pad_template().presence == Gst.PadPresence.SOMETIMES:
                return self._behind(element, pad, tuple(reversed(pieces)))
            caps = element.get_property("caps").to_string() if name == "capsfilter" else None
            pieces.append(Piece(name, caps))
            pad = element.sinkpads[0].get_peer()
        return None

    def _behind(self, demuxer: Gst.Element, pad: Gst.Pad, pieces: tuple[Piece, ...]) -> Kind | None:
        front = demuxer.sinkpads[0].get_peer()
        containers = [caps for of, caps in self._seen if of is front]
        streams = [caps for of, caps in self._seen if of.get_parent_element() is demuxer]
        if len(containers) != 1 or len(streams) != 1 or _factory(front.get_parent_element()) != "typefind":
            return None
        return Kind(containers[0].to_string(), Stream.of(_factory(demuxer), streams[0]), pieces)


class Known:
    """A demuxer, and behind it the elements that decodebin has chosen before."""

    def __init__(self, demuxer: str, known: Mapping[Stream, tuple[Piece, ...]]) -> None:
        self.element = Gst.ElementFactory.make(demuxer, "demuxer")
        self.decoded: Gst.Pad | None = None
        """Gives decoded frames."""
        self.stream: Stream | None = None
        self._name, self._known = demuxer, known
        self._handlers: list[int] = []

    def connect(self, link: Link, tell: Tell) -> None:
        """`link` is called with `decoded`, and `tell` with `OTHER_KIND`: then decodebin has to choose."""

        def added(demuxer: Gst.Element, pad: Gst.Pad) -> None:
            caps = pad.get_current_caps() or pad.query_caps(None)
            if caps.get_size() and not _is_of_video(caps):
                return
            stream = Stream.of(self._name, caps) if caps.get_size() else None
            pieces = () if stream is None else self._known.get(stream, ())
            if not pieces or self.decoded is not None:
                tell(OTHER_KIND)
                return
            self.stream = stream
            elements = [_made(piece) for piece in pieces]
            pipeline = demuxer.get_parent()
            for element in elements:
                pipeline.add(element)
            for before, after in zip(elements, elements[1:], strict=False):
                before.link(after)
            self.decoded = elements[-1].srcpads[0]
            link(self.decoded)
            for element in reversed(elements):
                element.sync_state_with_parent()
            pad.link(elements[0].sinkpads[0])

        def check(_demuxer: Gst.Element) -> None:
            if self.decoded is None:
                tell(OTHER_KIND)

        handlers = {"pad-added": added, "no-more-pads": check}
        self._handlers = [self.element.connect(name, handler) for name, handler in handlers.items()]

    def close(self) -> None:
        """A handler of an element that refers to the element would keep all of them in memory."""
        for handler in self._handlers:
            self.element.disconnect(handler)
        self.decoded = None


def _made(piece: Piece) -> Gst.Element:
    element = Gst.ElementFactory.make(piece.factory)
    if piece.caps is not None:
        element.set_property("caps", Gst.Caps.from_string(piece.caps))
    return element


def _factory(element: Gst.Element) -> str:
    return element.get_factory().get_name()


def _is_of_video(caps: Gst.Caps) -> bool:
    """Sound and subtitles are left as they are."""
    return not caps.get_structure(0).get_name().startswith(("audio/", "text/", "subpicture/", "application/x-ass"))


def _container(path: str) -> str:
    """The caps of a file's container; empty: it takes decodebin to tell."""
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(HEAD)
    except OSError:
        return ""
    suffix = os.path.splitext(path)[1].removeprefix(".")
    caps, likely = GstBase.type_find_helper_for_data_with_extension(None, head, suffix if suffix.isascii() else None)
    return caps.to_string() if caps is not None and likely == Gst.TypeFindProbability.MAXIMUM else ""
