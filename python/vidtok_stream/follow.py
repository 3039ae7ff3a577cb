"""Tokens as they are made: of a file that grows, or of a running pipeline."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, cast

from .errors import StreamError
from .header import StreamHeader
from .limits import MAX_LATENT_NUMBER
from .packet import Packet
from .reader import OnLoss, PacketReader, Place
from .tokens import Tokens

POLL_SECONDS = 0.02
Followed = str | os.PathLike[str] | BinaryIO | int


def follow(
    source: Followed,
    *,
    timeout: float | None = None,
    stop: Callable[[], bool] | None = None,
    resume: Mapping[str, Any] | None = None,
    on_loss: OnLoss = "wait",
) -> Follower:
    """The tokens of a stream as they are made, packet by packet, up to the stream's end mark.

    `source`: the path of a file that grows, an open binary file, or the file descriptor of a pipe or socket. `timeout`:
    seconds without new bytes after which the tokens end, too; by default never. They also end once `stop()` is true.
    `resume`: what `state()` of another follower of this file has returned; its tokens go on behind those.
    """
    return Follower(source, timeout=timeout, stop=stop, resume=resume, on_loss=on_loss)


class Follower(Iterator[Tokens]):
    """Iterates over tokens `[n, h, w]` or `[n, h, w, channels]`; holds a megabyte and one packet at a time."""

    def __init__(
        self,
        source: Followed,
        *,
        timeout: float | None = None,
        stop: Callable[[], bool] | None = None,
        resume: Mapping[str, Any] | None = None,
        on_loss: OnLoss = "wait",
    ) -> None:
        self.packet: Packet | None = None
        """The packet of the latest tokens: times, segment start, format."""
        self.packets = 0
        """Packets so far, those in front of where it was resumed included."""
        self.holes = 0
        """Places so far where the sequence of packets is broken."""
        self._clock = _Clock(timeout, stop)
        self._place: Place | None = None
        self._opened = not hasattr(source, "read")
        self._file = self._open(source)
        self._reader: PacketReader | None = None
        if self._file is None:
            return  # a file that nobody has made in time has no tokens
        readable = self._file
        if not _is_seekable(readable) and hasattr(readable, "fileno") and (timeout is not None or stop is not None):
            readable = cast(BinaryIO, _Pipe(readable, self._clock))
        self._reader = PacketReader(readable, self._wait, on_loss=on_loss)
        self._reader.name = self._name(source)
        if resume is not None:
            try:
                self._resume(resume)
            except BaseException:
                self.close()
                raise

    def __next__(self) -> Tokens:
        reader = self._reader
        if reader is None:
            raise StopIteration
        for item in reader.items():
            self.holes += len(reader.holes)
            reader.holes.clear()
            if isinstance(item, StreamHeader):
                if item.end and item.end.stream:
                    break
                continue
            tokens = item.tokens
            self.packet, self._place = item, reader.place()
            self.packets += 1
            return tokens
        self.close()
        raise StopIteration

    def state(self) -> dict[str, Any]:
        """Where the latest tokens end, for `follow(…, resume=…)`, also in another process: numbers that JSON can hold.

        A pipe cannot be resumed.
        """
        if self._place is None:
            return {"packets": 0}
        return {"packets": self.packets, **self._place._asdict(), "totals": list(self._place.totals)}

    def close(self) -> None:
        """Ends the tokens, and closes the file if it was opened here."""
        if self._reader:
            self._reader.close()
            self._reader = None
        if self._opened and self._file:
            self._file.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, source: Followed) -> BinaryIO | None:
        if isinstance(source, int):
            return open(source, "rb", buffering=0, closefd=False)
        if not isinstance(source, str | os.PathLike):
            return source
        while True:
            try:
                return open(source, "rb", buffering=0)
            except FileNotFoundError:
                # Whoever writes the file may not have begun. Without a limit, a wrong path would never be noticed.
                if not self._clock.is_limited or not self._clock.sleep():
                    raise

    def _wait(self) -> bool:
        """At the end of what is there: whether to look again, after a while."""
        assert self._reader and self._file
        if self._reader.ended or not _is_seekable(self._file):
            return False
        return self._clock.sleep(self._reader.bytes_read)

    def _resume(self, state: Mapping[str, Any]) -> None:
        assert self._reader and self._file
        if state.get("packets") == 0:
            return
        packets, header, packet, totals = (state.get(name) for name in ("packets", *Place._fields))
        listed = list(totals) if isinstance(totals, list | tuple) else []
        numbers = [packets, header, packet, *listed]
        if len(listed) not in (3, 5) or not all(
            type(value) is int and 0 <= value <= MAX_LATENT_NUMBER for value in numbers
        ):
            raise StreamError(f"{self._reader.name}: what is to be resumed is no state of a follower")
        if not _is_seekable(self._file):
            raise StreamError(f"{self._reader.name}: a pipe cannot be resumed: write into a file and follow that")
        self.packets, header, packet, *listed = numbers
        self._place = Place(header, packet, tuple(listed))
        self._reader.resume(self._place)

    @staticmethod
    def _name(source: Followed) -> str:
        if isinstance(source, str | os.PathLike):
            return os.fspath(source)
        return f"file descriptor {source}" if isinstance(source, int) else "stream"


class _Clock:
    """Says how long to wait for bytes."""

    def __init__(self, timeout: float | None, stop: Callable[[], bool] | None) -> None:
        self._timeout, self._stop = timeout, stop
        self._since = time.monotonic()
        self._seen = -1

    @property
    def is_limited(self) -> bool:
        return self._timeout is not None or self._stop is not None

    def goes_on(self, seen: int) -> bool:
        """Whether to wait for more than the `seen` bytes."""
        if self._stop and self._stop():
            return False
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return self._timeout is None or now - self._since < self._timeout

    def sleep(self, seen: int = -1) -> bool:
        """Sleeps a while; returns whether to look again."""
        if not self.goes_on(seen):
            return False
        time.sleep(POLL_SECONDS)
        return True


class _Pipe:
    """Reads what a pipe or socket has, and ends where the clock says so."""

    def __init__(self, file: BinaryIO, clock: _Clock) -> None:
        self._file, self._clock = file, clock
        self._seen = 0

    def read(self, size: int) -> bytes:
        while not select.select([self._file], [], [], POLL_SECONDS)[0]:
            if not self._clock.goes_on(self._seen):
                return b""
        # A buffered file asks the pipe once, for as much as this.
        read = getattr(self._file, "read1", self._file.read)
        data: bytes = read(size) or b""
        self._seen += len(data)
        return data


def _is_seekable(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable and seekable())
