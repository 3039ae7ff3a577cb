"""All cameras of the service."""

from pathlib import Path
from threading import Lock

from camera import Camera
from settings import Settings


class Taken(Exception):
    """There is a camera of that name, or one that writes that file."""


class Fleet:
    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = Lock()
        self._cameras: dict[str, Camera] = {}

    def add(self, settings: Settings) -> Camera:
        with self._lock:
            if settings.name in self._cameras:
                raise Taken(f"there is a camera {settings.name} already: remove it first")
            writers = [name for name, other in self._cameras.items() if other.settings.file == settings.file]
            if settings.file and writers:
                raise Taken(f"camera {writers[0]} writes the file {settings.file}: remove it first")
            camera = Camera(settings, self._folder)
            self._cameras[settings.name] = camera
            return camera

    def remove(self, name: str) -> bool:
        """Whether there was such a camera."""
        with self._lock:
            camera = self._cameras.get(name)
        if camera is None:
            return False
        # Without the lock: a source that takes long to stop holds no other camera up. Its name, port and file are its
        # own until then.
        camera.stop()
        with self._lock:
            if self._cameras.get(name) is camera:
                del self._cameras[name]
        return True

    def cameras(self) -> list[Camera]:
        with self._lock:
            return list(self._cameras.values())

    def close(self) -> None:
        for camera in self.cameras():
            camera.end()
        for camera in self.cameras():
            self.remove(camera.settings.name)
