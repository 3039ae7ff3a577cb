"""What a camera is told to do, read from a file or from HTTP. Free of GStreamer."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomllib

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SIZE = re.compile(r"[0-9]{1,5}(x[0-9]{1,5})?")
# The ball of the test picture needs room (GStreamer 1.22).
LEAST_TEST = 16
SCHEMES = ("rtsp", "rtsps", "rtspt", "file")


class SettingsError(ValueError):
    """Says which setting is wrong, and what it may be."""


@dataclass(frozen=True)
class Settings:
    name: str
    kind: str = "send"
    """`send`: video to tokens to the network or a file. `receive`: tokens from the network to pictures."""
    source: str = "test"
    """`test`, `/dev/videoN`, or an address: `rtsp://…`, `file:///…`, played at its own speed."""
    width: int = 0
    """Of the test picture or the camera; 0: what it likes, and 256×256 for the test picture."""
    height: int = 0
    framerate: int = 0
    size: str = ""
    """Size of the tokenized picture, as the property `size` of vidtokenc."""
    model: str = ""
    threads: int = 1
    key_interval: int = 60
    host: str = "127.0.0.1"
    """Where packets go to."""
    port: int = 0
    """Where packets go to, or come from."""
    file: str = ""
    """Instead of the network: a file in the service's output folder."""
    jitter_ms: int = 100
    """How long a receiver waits for packets that are late."""
    screen: bool = False
    """Show what is received."""
    restart: str = "on-error"
    """`never`, `on-error`, or `always`, which is also at the end of a file."""

    @classmethod
    def of(cls, given: object) -> "Settings":
        """Checks what a person or a program wrote."""
        if not isinstance(given, Mapping):
            raise SettingsError("a camera is an object with settings such as name, source and port")
        known = {field.name: field.type for field in fields(cls)}
        for key, value in given.items():
            if key not in known:
                raise SettingsError(f"there is no setting {key!r}: they are {', '.join(known)}")
            if type(value) is not known[key]:
                raise SettingsError(f"{key} must be of the type {known[key].__name__}, and is {value!r}")
            if isinstance(value, str) and (len(value) > 1024 or not value.isprintable()):
                raise SettingsError(f"{key} must be a line of at most 1024 characters")
        if "name" not in given:
            raise SettingsError("a camera needs a name")
        settings = cls(**given)
        for name, (is_right, what) in CHECKS.items():
            if not is_right(getattr(settings, name)):
                raise SettingsError(f"{name} must be {what}, and is {getattr(settings, name)!r}")
        if settings.kind == "receive" and settings.file:
            raise SettingsError("a receiver writes no file")
        if settings.source == "test" and any(0 < side < LEAST_TEST for side in (settings.width, settings.height)):
            raise SettingsError(f"the test picture has at least {LEAST_TEST} pixels each way")
        if bool(settings.file) == bool(settings.port):
            raise SettingsError("a camera needs either a port or a file")
        return settings

    def public(self) -> dict[str, Any]:
        """What others may see: no password."""
        shown = {field.name: getattr(self, field.name) for field in fields(self)}
        shown["source"] = without_password(self.source)
        return shown


def without_password(address: str) -> str:
    return re.sub(r"(?<=://)[^/\s]*@", "…@", address)


def _is_source(source: str) -> bool:
    if source == "test" or re.fullmatch(r"/dev/video[0-9]{1,3}", source):
        return True
    try:
        return urlsplit(source).scheme in SCHEMES
    except ValueError:
        return False


def _within(least: int, most: int) -> tuple[Callable[[int], bool], str]:
    return lambda number: least <= number <= most, f"{least} to {most}"


def _one_of(*words: str) -> tuple[Callable[[str], bool], str]:
    return lambda word: word in words, " or ".join(words)


CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "name": (NAME.fullmatch, "1 to 64 letters, digits, dots, hyphens and underscores"),
    "kind": _one_of("send", "receive"),
    "source": (_is_source, "test, /dev/videoN, rtsp://… or file:///…"),
    "width": _within(0, 16384),
    "height": _within(0, 16384),
    "framerate": _within(0, 1000),
    "size": (lambda size: not size or SIZE.fullmatch(size), "a number of pixels, or WIDTHxHEIGHT"),
    "threads": _within(0, 1024),
    "key_interval": _within(0, 1_000_000),
    "host": (lambda host: re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", host), "a name or an address"),
    "port": _within(0, 65535),
    "file": (lambda file: not file or NAME.fullmatch(file), "a file's name, without a folder"),
    "jitter_ms": _within(0, 60_000),
    "restart": _one_of("never", "on-error", "always"),
}


def read_file(path: Path) -> list[Settings]:
    """The cameras of a TOML or JSON file: a list `cameras`."""
    try:
        text = path.read_text("utf-8")
        given = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    cameras = given.get("cameras") if isinstance(given, dict) else None
    if not isinstance(cameras, list):
        raise SettingsError(f"{path}: there is no list of cameras")
    found = []
    for number, camera in enumerate(cameras, 1):
        try:
            found.append(Settings.of(camera))
        except SettingsError as error:
            raise SettingsError(f"{path}: camera {number}: {error}") from error
    return found


@dataclass
class Backoff:
    """How long to wait before a camera is started again: twice as long each time, unless it ran for a while."""

    first: float = 1.0
    most: float = 30.0
    enough: float = 60.0
    _next: float = 0.0

    def wait(self, ran: float) -> float:
        """Seconds to wait after the camera ran for `ran` seconds."""
        self._next = self.first if self._next == 0 or ran >= self.enough else min(self._next * 2, self.most)
        return self._next
