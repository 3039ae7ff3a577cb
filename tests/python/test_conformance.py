"""The files of tests/data/stream: the Python reader says of each what the file beside it says."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "data" / "stream"
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import Hole, Packet, PacketReader, StreamError, StreamHeader, TokenFormat, packets, write  # noqa: E402

Json = dict[str, Any]

NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
# How the messages of errors begin.
ERRORS = {
    "newer-version": "the stream is of version",
    "header": "cannot use the stream header",
    "flags": "a packet needs a feature",
    "packet": "impossible packet",
}


def expected(name: str) -> Json:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def said_of_packet(packet: Packet) -> Json:
    numbered = packet.latent_frame is not None
    times = zip(*(values.tolist() for values in packet.frame_times), strict=True)
    try:
        tokens = packet.tokens.tolist()
    except StreamError:
        tokens = None
    return {
        "at": packet.byte_position,
        "segment-start": packet.segment_start,
        "segment-end": packet.segment_end,
        "end-of-stream": packet.end_of_stream,
        "position": {"segment": packet.segment, "latent-frame": packet.latent_frame} if numbered else None,
        "latent-frames": packet.latent_frames,
        "real-frames": packet.real_frames,
        "pts": packet.pts,
        "duration": packet.duration,
        "offsets": None if packet.offsets is None else list(packet.offsets),
        "frames": [[None if time < 0 else time for time in frame] for frame in times],
        "tokens": tokens,
        "uncertain": packet.uncertain,
    }


def said_of_end(mark: StreamHeader) -> Json:
    assert mark.end
    return {
        "stream-id": mark.stream_id,
        "segment-number": mark.end.segment_number,
        "segment": mark.end.segment.to_fields(),
        "stream": mark.end.stream and mark.end.stream.to_fields(),
    }


def said_of_hole(hole: Hole) -> Json:
    return {"loss": hole.loss.name.lower().replace("_", "-"), "latent-frames": hole.latent_frames}


def said_of_format(format: TokenFormat) -> Json:
    nullable = dict.fromkeys(("levels", "codebook-size", "channels", "colorimetry"))
    # Tuples become lists.
    return json.loads(json.dumps(nullable | format.to_fields()))


class Told:
    """What is in front of a packet or an end mark, or of the file's end: bytes that were skipped, and holes."""

    def __init__(self) -> None:
        self.skipped = self.cut = 0
        self.holes: list[Json] = []
        self.item: Json | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return repr(vars(self))


def told(document: Json, wait: bool) -> list[Told]:
    """The expected events as the reader tells them: not in one row, but by the packet or end mark that they precede."""
    out, headers = [Told()], {}
    for event in document["events"]:
        ((kind, value),) = event.items()
        match kind:
            case "header":
                headers = {"stream-id": value["stream-id"], "format": document["formats"][value["format"]]}
            case "skipped":
                out[-1].skipped += value
            case "cut":
                out[-1].cut = value
            case "hole":
                out[-1].holes.append(value)
            case "packet":
                if not (wait and value["uncertain"]):
                    out[-1].item = value | headers
                    out.append(Told())
            case "end":
                out[-1].item = {key: item for key, item in value.items() if key != "at"}
                out.append(Told())
    return out


def read(reader: PacketReader) -> tuple[list[Told], StreamError | None]:
    out, skipped, holes, error = [], 0, 0, None
    items = reader.items()
    while True:
        try:
            item = next(items, None)
        except StreamError as raised:
            item, error = None, raised
        one = Told()
        one.skipped, one.cut = reader.skipped_bytes - skipped, reader.cut_bytes
        one.holes = list(map(said_of_hole, reader.holes[holes:]))
        skipped, holes = reader.skipped_bytes, len(reader.holes)
        out.append(one)
        if item is None:
            return out, error
        if isinstance(item, Packet):
            format = said_of_format(item.format)
            one.item = said_of_packet(item) | {"stream-id": item.stream_id, "format": format}
        else:
            one.item = said_of_end(item)


class Pieces(io.RawIOBase):
    """A file that gives some bytes at a time."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.data, self.piece = io.BytesIO(data), piece

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, self.piece))


@pytest.mark.parametrize("policy", ["wait", "continue"])
@pytest.mark.parametrize("name", NAMES)
def test_the_reader_says_of_every_file_what_it_must(name: str, policy: Any) -> None:
    document, data = expected(name), (FOLDER / f"{name}.vidtok").read_bytes()
    assert len(data) == document["bytes"]
    errors = [event["error"] for event in document["events"] if "error" in event]
    for piece in (1, 7, 1000, 1 << 20):
        reader = packets(Pieces(data, piece), on_loss=policy)
        said, error = read(reader)
        assert said == told(document, policy == "wait")
        assert bool(errors) == (error is not None)
        if error:
            assert f": {ERRORS[errors[0]['kind']]}" in str(error) and errors[0]["says"] in str(error)
        else:
            assert reader.ended == document["ended"]


def test_headers_are_read_where_there_is_no_packet() -> None:
    reader = packets((FOLDER / "header-only.vidtok").read_bytes())
    assert list(reader) == [] and reader.format
    assert said_of_format(reader.format) == expected("header-only")["formats"][0]


@pytest.mark.parametrize("name", [name for name in NAMES if expected(name)["written"]])
def test_the_writer_makes_the_files_of_a_good_writer(name: str) -> None:
    file = FOLDER / f"{name}.vidtok"
    made = io.BytesIO()
    anew = [
        Packet.of(
            packet.format,
            packet.tokens,
            segment_start=packet.segment_start,
            real_frames=packet.real_frames,
            pts=packet.pts,
            duration=packet.duration,
            offsets=packet.offsets,
            end_of_stream=packet.end_of_stream,
            segment_end=packet.segment_end,
            stream_id=packet.stream_id,
        )
        for packet in packets(file)
    ]
    write(made, anew)
    assert made.getvalue() == file.read_bytes()


def test_the_files_are_what_their_maker_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "make.py", tmp_path], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in (".json", ".vidtok")}
    assert made.keys() == kept.keys()
    assert [name for name in kept if kept[name] != made[name]] == []
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 200_000
