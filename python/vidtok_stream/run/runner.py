"""What encoder and decoder share: a graph, and its sessions by the size of the picture."""

from __future__ import annotations

from collections.abc import Sequence

from ..limits import MAX_DIMENSION
from .description import Description
from .errors import ModelError
from .model import Model, Precision, Role, find
from .session import CPU, Provider, Session, is_gpu


class Runner:
    """Holds the graph of one role, and the session of the latest picture size."""

    def __init__(
        self,
        role: Role,
        model: Model,
        providers: Sequence[Provider] | None,
        precision: Precision | None,
        threads: int,
    ) -> None:
        if isinstance(providers, str):
            raise TypeError(f"providers is a list, such as [{providers!r}]")
        if precision not in (None, "fp32", "fp16"):
            raise ValueError(f'precision is "fp32" or "fp16", not {precision!r}')
        self._providers = [CPU] if providers is None else list(providers)
        self._threads = threads
        self._graph = find(model, role, is_gpu(self._providers), precision)
        self._session: tuple[tuple[int, int], Session] | None = None

    @property
    def description(self) -> Description:
        """What the tokenizer is: its name and digest, levels or channels, factors."""
        return self._graph.description

    def session(self, height: int, width: int) -> Session:
        """The session for pictures of that size."""
        if not 1 <= height <= MAX_DIMENSION or not 1 <= width <= MAX_DIMENSION:
            raise ModelError(f"a picture of {width}×{height} pixels, allowed is 1 to {MAX_DIMENSION} per side")
        size = self.description.padded(height, width)
        if self._session is None or self._session[0] != size:
            self._session = None  # its memory goes before that of the next one comes
            self._session = size, Session(self._graph, *size, self._providers, self._threads)
        return self._session[1]
