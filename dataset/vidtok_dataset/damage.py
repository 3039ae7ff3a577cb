"""What decoders say of damaged video.

FFmpeg's decoders conceal damage and say so in the log only, and the log of several pipelines is one. A decoder works in
one thread here, so the thread tells whose message it is.
"""

import os
import threading

from .gstreamer import Gst

# How errors begin that elements post, and those that GstVideoDecoder passes over; both are warnings in the log.
ERROR = "error: "
PASSED_OVER = "videodecoder"
MAX_TEXTS = 5
MAX_TEXT = 200


class Damage:
    """What was said about one clip."""

    def __init__(self) -> None:
        self.messages = 0
        """Errors that a demuxer or decoder went on after."""
        self.texts: list[str] = []
        """The first few."""
        self.posted: str | None = None
        """The first error that an element has posted. decodebin 1.22 loses those that come while it links one."""
        self._marked = 0
        self.handler = 0
        """Of the pipeline's signal."""

    def note(self, text: str) -> None:
        self.messages += 1
        if len(self.texts) < MAX_TEXTS:
            self.texts.append(text[:MAX_TEXT])

    def mark(self) -> None:
        """A frame has come: what is said from now on is of others."""
        self._marked = self.messages

    def forget_unmarked(self) -> None:
        """Forgets what was said after the last frame that came."""
        self.messages = self._marked
        del self.texts[self._marked :]

    def clear(self) -> None:
        self.messages = self._marked = 0
        self.texts.clear()


class Log:
    """GStreamer's log, sorted by clips. There is one for a process."""

    def __init__(self) -> None:
        self._by_thread: dict[int, Damage] = {}
        self._by_pipeline: dict[str, Damage] = {}
        Gst.debug_set_active(True)
        if "GST_DEBUG" not in os.environ:
            # Only this reads the log.
            Gst.debug_remove_log_function(None)
            Gst.debug_set_default_threshold(Gst.DebugLevel.WARNING)
        Gst.debug_add_log_function(self._take, None)

    def watch(self, pipeline: Gst.Pipeline) -> Damage:
        """What is said of `pipeline` from now on, until `forget`."""
        damage = Damage()
        self._by_pipeline[pipeline.get_name()] = damage

        def added(_bin: Gst.Bin, _within: Gst.Bin, element: Gst.Element) -> None:
            if element.find_property("max-threads") is None:
                return
            element.set_property("max-threads", 1)
            pad = element.get_static_pad("sink")
            if pad is not None:
                pad.add_probe(Gst.PadProbeType.BUFFER, self._note_thread, damage)

        damage.handler = pipeline.connect("deep-element-added", added)
        return damage

    def forget(self, pipeline: Gst.Pipeline, damage: Damage) -> None:
        """`pipeline` has ended."""
        self._by_pipeline.pop(pipeline.get_name(), None)
        pipeline.disconnect(damage.handler)
        for thread in [thread for thread, of in list(self._by_thread.items()) if of is damage]:
            self._by_thread.pop(thread, None)

    def _note_thread(self, _pad: Gst.Pad, _info: Gst.PadProbeInfo, damage: Damage) -> Gst.PadProbeReturn:
        self._by_thread[threading.get_ident()] = damage
        return Gst.PadProbeReturn.REMOVE

    def _take(self, category, level, _file, _function, _line, source, message, _data) -> None:  # type: ignore[no-untyped-def]
        text = (message.get() or "").strip()
        is_error = text.startswith(ERROR)
        if level != Gst.DebugLevel.ERROR and not is_error:
            return
        damage = self._by_thread.get(threading.get_ident()) or self._of_element(source)
        if damage is None:
            return
        name = category.get_name()
        if is_error and name != PASSED_OVER:
            damage.posted = damage.posted or f"{text.removeprefix(ERROR)} ({name})"
        else:
            damage.note(f"{name}: {text}")

    def _of_element(self, source: object) -> Damage | None:
        while isinstance(source, Gst.Object):
            if (damage := self._by_pipeline.get(source.get_name())) is not None:
                return damage
            source = source.get_parent()
        return None
