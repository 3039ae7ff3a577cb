"""Places where the sequence of packets is broken."""

from dataclasses import dataclass
from enum import Enum


class Loss(Enum):
    """What showed a hole."""

    MISSING = "packets are missing"
    """The numbers of packets or segments leave some out."""
    REPEATED = "a packet came twice or out of order"
    """The reader left it out; nothing is missing then."""
    OTHER_STREAM = "a packet of another stream came in between"
    """The packet belongs to another stream than the one before it, and does not start a segment."""
    NO_END = "the end of a segment is missing"
    """A segment starts though the one before it has not ended."""
    DAMAGE = "something was damaged or lost"
    """Bytes were skipped, and no number says what was in them."""
    TOTALS = "the stream's end mark counts other totals than were read"


@dataclass(frozen=True)
class Hole:
    """A place where the sequence of packets is broken."""

    loss: Loss
    latent_frames: int | None = None
    """How many latent frames are missing; `None` where that is not known."""

    def __str__(self) -> str:
        return self.loss.value + ("" if self.latent_frames is None else f" ({self.latent_frames} latent frames)")
