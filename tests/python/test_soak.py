"""The soak's own rules: its ledger sees what a receiver does wrong."""

import struct
import sys

import pytest

from golden import ROOT

sys.path.append(str(ROOT / "tests" / "soak"))

from ledger import Ledger, Shown, Unit, equations, unit_of  # noqa: E402
from memory import by_minute_kb, medians_kb  # noqa: E402
from plan import KINDS, MEASURED_CAPS, plan, windows  # noqa: E402

# When frames are shown, for tests that show none.
NOW = (0, 40)


def rtp(number: int, segment: int, latent_frame: int, frames: int = 4, flags: int = 0) -> bytes:
    header = struct.pack(">BBHII", 0x80, 96, number, 0, 1)
    return header + struct.pack(">BBHIIB3sH", flags, segment % 256, 1, 7, latent_frame, 1, b"\0\0\0", frames)


def framed(segment: int, latent_frame: int, frames: int = 4) -> bytes:
    # A stream header may stand in front.
    packet = struct.pack("<4sHHIIIIQQII", b"\x89VTP", 60, 0, 0, 1, frames, 0, 0, 0, 0, 0)
    return b"header" + packet + struct.pack("<QI", latent_frame, segment)


def sent(*lost: int, units: int = 4) -> Ledger:
    """Two packets for each latent frame; those whose numbers are `lost` do not arrive."""
    ledger = Ledger()
    for number in range(2 * units):
        packet = rtp(number, 300, number // 2)
        ledger.sent(packet, number in lost)
        if number not in lost:
            ledger.arrived(packet)
    return ledger


def test_a_packet_says_its_unit() -> None:
    assert unit_of(rtp(1, 300, 5, 3)) == Unit(44, 5, 3)
    assert unit_of(rtp(1, 0, 0, 0, flags=1 << 5)) is None


def test_every_frame_has_one_fate() -> None:
    ledger = sent(3, 4, 5)
    ledger.put_out(framed(300, 0), NOW, None, False)
    ledger.put_out(framed(300, 1), NOW, 1, False)
    ledger.put_out(framed(300, 2), NOW, 2, False)
    ledger.put_out(framed(300, 3), NOW, None, False)
    ledger.finish()
    assert ledger.wrong == []
    fates = ("shown whole", "shown, concealed in part", "shown, made up", "lost")
    assert [ledger.counts[f"frames {fate}"] for fate in fates] == [8, 4, 4, 0]
    assert ledger.counts["frames sent"] == 16
    assert (ledger.counts["packets used"], ledger.counts["packets arrived"]) == (5, 5)


@pytest.mark.parametrize("is_said", [False, True])
def test_what_is_lost_has_to_be_said(is_said: bool) -> None:
    ledger = sent(2, 3)
    ledger.put_out(framed(300, 0), NOW, None, False)
    ledger.put_out(framed(300, 2), NOW, None, is_said)
    ledger.put_out(framed(300, 3), NOW, None, False)
    ledger.finish()
    assert (ledger.counts["frames lost"], ledger.counts["contradictions"]) == (4, int(not is_said))


def test_a_wrong_concealment_is_seen() -> None:
    ledger = sent(2)
    ledger.put_out(framed(300, 0), NOW, 1, False)
    ledger.put_out(framed(300, 1), NOW, None, False)
    ledger.put_out(framed(300, 2, frames=3), NOW, None, False)
    assert ledger.counts["contradictions"] == 3
    ledger.put_out(framed(301, 0), NOW, None, False)
    assert "was not sent" in ledger.wrong[-1]


def test_pictures_go_forward() -> None:
    ledger = Ledger()
    for time in (0, 40, 40, 30, 2_000_000_000, 0):
        ledger._due.append(Shown(time, time, 1))
        ledger.shown(time, False)
    # One goes back a little, and one to a new timeline.
    assert (ledger.counts["contradictions"], ledger.counts["new timelines"]) == (1, 1)


def test_a_token_buffer_that_comes_twice_is_seen() -> None:
    ledger = sent(2, 3)
    ledger.put_out(framed(300, 0), NOW, None, False)
    ledger.put_out(framed(300, 1), NOW, 2, False)
    # As if it was made up for a pause.
    ledger.put_out(framed(300, 1), NOW, 2, False)
    assert ledger.counts["contradictions"] == 1 and "comes behind" in ledger.wrong[0]
    # The next segment begins, whatever its number is modulo 256; and one of before comes back.
    ledger.put_out(framed(301, 0), NOW, 2, False)
    ledger.put_out(framed(300, 9), NOW, 2, False)
    assert ledger.counts["contradictions"] == 2


def test_a_lost_picture_and_a_doubled_one_do_not_cancel_out() -> None:
    ledger = Ledger()
    ledger.put_out(framed(300, 0), (0, 40), 2, False)
    ledger.put_out(framed(300, 1), (40, 80), 2, False)
    for time in (0, 10, 30, 40, 50, 60, 60, 70):
        ledger.shown(time, False)
    ledger.finish()
    assert ledger.counts["frames without a picture"] == 1
    assert ledger.wrong == ["a picture at 70 is of no frame, or one too many"]


def test_sums_are_compared() -> None:
    ledger = sent()
    ledger.counts["frames"] = 16
    for number in range(4):
        ledger.put_out(framed(300, number), (4 * number, 4 * number + 4), None, False)
        for frame in range(4):
            ledger.shown(number * 4 + frame, False)
    ledger.finish()
    faults = ("damaged", "newer-version", "other-format", "impossible-cells", "impossible-tokens", "contradictions")
    network = {"frames": 16, "dropped": 0}
    depayloader = {"packets": 8, "held": 0, "late": 0} | dict.fromkeys(faults, 0)
    found = equations(ledger.counts, network, depayloader, network)
    assert [sentence for sentence, left, right in found if left != right] == []
    found = equations(ledger.counts, network, depayloader | {"held": 1}, network | {"frames": 15})
    assert len([sentence for sentence, left, right in found if left != right]) == 3


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_decides_on_everything(seed: int) -> None:
    events = plan(seed, 600)
    assert events == plan(seed, 600) != plan(seed + 1, 600)
    assert {event.kind for event in events} == set(KINDS)
    ends = [event.at + float(event.arguments.get("seconds", 0)) for event in events]
    assert max(ends) <= 600 - 4
    for begins, end in windows(600):
        caps = [event for event in events if event.kind == "caps" and begins <= event.at < end]
        assert [(event.at, event.arguments) for event in caps] == [(begins, MEASURED_CAPS)]


def test_memory_is_compared_by_medians() -> None:
    samples = [(at / 2, 100 + at // 120) for at in range(480)]
    assert windows(240) == ((60, 120), (180, 240))
    assert medians_kb(samples, windows(240)) == [101, 103]
    assert by_minute_kb(samples) == [100, 101, 102, 103]
