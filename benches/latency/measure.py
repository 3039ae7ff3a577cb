#!/usr/bin/env python3
"""How long a picture takes from its capture to the moment that it comes out: `benches/latency.sh`."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import latency_options
import latency_summary as summary
from latency_summary import PARTS, Figures
from lines import Gst, Run

HERE = Path(__file__).resolve().parent
CLIP = HERE.parents[1] / "examples" / "signing.mp4"
# Seconds that a run may take longer than its pictures.
PATIENCE = 30
COLUMNS = ("p50", "p99", "max", "interval-p99")
# In which the last pictures come.
LAST = 1


def main() -> None:
    options = latency_options.parse()
    runs = {f"{coder} {pace}": run_of(options, coder, pace) for coder in options.coders for pace in options.paces}
    found = {name: Figures() for name in runs}
    last: dict[str, Mapping[str, object]] = {}
    for turn in range(options.turns):
        for name, run in runs.items():
            print(f"turn {turn + 1} of {options.turns}: {name}", file=sys.stderr)
            try:
                sent, received = measure(run)
            except subprocess.TimeoutExpired as error:
                sys.exit(f"{name}: not done after {error.timeout} s")
            except subprocess.CalledProcessError:
                # It has said why; the error is its whole command.
                sys.exit(f"{name}: the sender failed")
            except RuntimeError as error:
                sys.exit(f"{name}: {error}")
            found[name].add(summary.figures(sent, received, options.settle * options.fps))
            last[name] = {"sender": without_lists(sent), "receiver": without_lists(received)}
            last[name]["sender"]["camera-late-ms-p99"] = summary.percentile(sent["late-ns"], 99) / 1e6
    report = {
        "options": {name: value for name, value in vars(options).items() if name not in ("clip", "output")},
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}",
        "gstreamer": Gst.version_string(),
        "series": {name: summary.row(figures) | last[name] for name, figures in found.items()},
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "latency.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = tables(report)
    (options.output / "latency.md").write_text(text, encoding="utf-8")
    print(text)


def run_of(options: argparse.Namespace, coder: str, pace: str) -> Run:
    width, height = options.size
    return Run(
        coder=coder,
        pace=pace,
        seconds=options.settle + options.seconds,
        width=width,
        height=height,
        fps=options.fps,
        key_interval=options.key_interval,
        latency=options.latency,
        send_in_time=pace == "in-time" and not options.send_at_once,
        queue=not options.no_queue,
        encoder=options.encoder,
        decoder=options.decoder,
        clip=str((options.clip or CLIP).resolve()),
    )


def measure(run: Run) -> tuple[dict[str, object], dict[str, object]]:
    """What sender and receiver say of a run."""
    python = [sys.executable]
    receiving = [*python, str(HERE / "receiver.py"), run.to_text()]
    with subprocess.Popen(receiving, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            port = receiver.stdout.readline().strip()
            if not port:
                raise RuntimeError("the receiver does not start")
            sending = [*python, str(HERE / "sender.py"), run.to_text(), port]
            sent = subprocess.run(
                sending, stdout=subprocess.PIPE, text=True, check=True, timeout=run.seconds + PATIENCE
            ).stdout
            # Its input ends, and with it its run, once the last pictures have come.
            time.sleep(LAST)
            received, _ = receiver.communicate(timeout=PATIENCE)
        finally:
            receiver.kill()
    if receiver.returncode:
        raise RuntimeError(f"the receiver failed: {receiver.returncode}")
    return json.loads(sent), json.loads(received)


def without_lists(report: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in report.items() if not isinstance(value, list)}


def tables(report: Mapping[str, object]) -> str:
    series: Mapping[str, Mapping[str, object]] = report["series"]
    lines = [f"{report['machine']}; {report['gstreamer']}. Times in ms.", ""]
    heads = ["", *COLUMNS, "pictures", "missing", "unread", "declared: sender", "receiver"]
    lines += [line(heads), line(["---"] * len(heads))]
    for name, row in series.items():
        counts = [f"{row[count]}" for count in ("pictures", "missing", "unread")]
        latencies = [ms(row[side]["declared-ms"]) for side in ("sender", "receiver")]
        lines.append(line([name, *(ms(row.get(column)) for column in COLUMNS), *counts, *latencies]))
    lines += ["", "Medians of the parts, and of all by the number of pictures that one waits for:", ""]
    counts = sorted({count for row in series.values() for count in row.get("ahead-p50", {})}, reverse=True)
    heads = ["", *PARTS, *(f"waits for {count}" for count in counts)]
    lines += [line(heads), line(["---"] * len(heads))]
    for name, row in series.items():
        parts = [ms(row.get("parts-p50", {}).get(part)) for part in PARTS]
        lines.append(line([name, *parts, *(ms(row.get("ahead-p50", {}).get(count)) for count in counts)]))
    return "\n".join(lines) + "\n"


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    main()
