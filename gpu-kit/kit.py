#!/usr/bin/env python3
"""Finds out what a GPU really does with this project. Part by part, in the order of worth:

    python3 kit.py run check        tokens and pictures beside the CPU's
    python3 kit.py run speed        milliseconds per frame, memory, where the time goes
    python3 kit.py run pytorch      the same by VidTok's own code
    python3 kit.py run tensorrt
    python3 kit.py run training     for as long as the budget is

    python3 kit.py pack --to DIR    results.json, results.md, logs, and a training's checkpoint in pieces

A part takes at most its budget and keeps what it has found out; run again, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from gpukit import pack, parts
from gpukit.kit import Kit

ROOT = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder for what is written (./results)")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run parts")
    names = [*parts.PARTS, "all"]
    run.add_argument("parts", nargs="+", choices=names, metavar="PART", help=", ".join(names))
    run.add_argument("--budget", type=float, default=540.0, help="seconds for this call (540)")
    run.add_argument("--provider", default="cuda", choices=["cuda", "cpu"], help="cpu is for a rehearsal (cuda)")
    run.add_argument("--small", action="store_true", help="small pictures and networks, for a rehearsal")
    run.add_argument("--again", action="store_true", help="also what failed before")
    run.add_argument("--libraries", type=Path, action="append", default=[], help="a folder of CUDA's or TensorRT's")
    run.add_argument("--vidtok", type=Path, help="a checkout of microsoft/VidTok")
    run.add_argument("--train-minutes", type=float, default=600.0, help="of the whole training, over all calls (600)")
    packing = commands.add_parser("pack", help="collect the results in few small files")
    packing.add_argument("--to", type=Path, required=True)
    commands.add_parser("show", help="print the tables")
    options = parser.parse_args()
    # So that what is running is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = options.results.resolve()
    if options.command == "run":
        kit = Kit(
            ROOT,
            results,
            options.provider,
            options.small,
            options.libraries,
            options.vidtok and options.vidtok.resolve(),
            options.train_minutes,
        )
        chosen = list(parts.PARTS) if "all" in options.parts else options.parts
        sys.exit(0 if parts.run(kit, chosen, options.budget, options.again) else 1)
    elif options.command == "pack":
        print("\n".join(pack.pack(results, options.to)))
    else:
        print(pack.tables(results))


if __name__ == "__main__":
    main()
