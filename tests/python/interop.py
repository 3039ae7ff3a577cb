"""Run by tests/python_interop.rs: `python3 interop.py FOLDER...`.

In each folder, reads `rust.vidtok`, says in `read.json` what it read, and writes it again: `packets.vidtok` packet by
packet, `stream.vidtok` from the arrays. Of `damaged.vidtok`, says in `loss.json` what was told of it.
"""

import json
import sys
from pathlib import Path

import numpy as np
from vidtok_stream import PacketReader, Stream, packets, read, write


def facts(stream: Stream) -> dict[str, object]:
    tokens = stream.tokens
    return {
        "header": json.loads(stream.format.to_json()) | {"stream-id": stream.stream_id},
        "dtype": str(tokens.dtype),
        "shape": tokens.shape,
        # As Rust holds them.
        "tokens": tokens.astype("<f4" if np.issubdtype(tokens.dtype, np.floating) else "<i4").tobytes().hex(),
        "real-frames": stream.real_frames.tolist(),
        "pts": stream.pts.tolist(),
        "durations": stream.durations.tolist(),
        "segment-starts": stream.segment_starts.tolist(),
        "packet-starts": stream.packet_starts.tolist(),
        "gaps": stream.gaps.tolist(),
        "skipped-bytes": stream.skipped_bytes,
        "cut-bytes": stream.cut_bytes,
        "ended": stream.ended,
    }


def loss(reader: PacketReader) -> dict[str, object]:
    payloads = [packet.payload.hex() for packet in reader]
    holes = [[hole.loss.value, hole.latent_frames] for hole in reader.holes]
    return {"packets": payloads, "holes": holes, "skipped": reader.skipped_bytes, "ended": reader.ended}


def main(folder: Path) -> None:
    damaged = folder / "damaged.vidtok"
    if damaged.exists():
        told = {policy: loss(packets(damaged, on_loss=policy)) for policy in ("wait", "continue")}
        (folder / "loss.json").write_text(json.dumps(told))
        return
    file = folder / "rust.vidtok"
    stream = read(file)
    (folder / "read.json").write_text(json.dumps(facts(stream)))
    write(folder / "packets.vidtok", packets(file))
    write(folder / "stream.vidtok", stream)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        main(Path(argument))
