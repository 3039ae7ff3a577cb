"""Sends live tokens over RTP, disturbs the line as a seed says, and accounts for every frame: see tests/soak.sh."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger import Ledger, equations
from memory import Memory, by_minute_kb, medians_kb
from plan import Event, plan, windows

MAX_GROWTH_KB = 1024
# Of a run that is too short to leave its first minute out, while caches still fill.
MAX_SHORT_GROWTH_KB = 4096
# Seconds that a stream has to end.
PATIENCE = 20


class Soak:
    def __init__(self, seed: int, seconds: float) -> None:
        from line import Gst, Line

        self.gst = Gst
        Gst.init(None)
        self.seconds = seconds
        self.ledger = Ledger()
        self.line = Line(seed, self.ledger)
        self.wrong: list[str] = []
        # What ends an event, and when.
        self.until: list[tuple[float, Callable[[], None]]] = []
        self.events = plan(seed, seconds)

    def run(self) -> None:
        memory = Memory(self.seconds)
        self.line.play()
        began = time.monotonic()
        todo = list(self.events)
        while (now := time.monotonic() - began) < self.seconds and not self.wrong:
            while todo and todo[0].at <= now:
                self.begin(todo.pop(0), now)
            for entry in [entry for entry in self.until if entry[0] <= now]:
                self.until.remove(entry)
                entry[1]()
            times = [todo[0].at] if todo else []
            self.listen(min([*times, *(at for at, _ in self.until), self.seconds, now + 1]) - now)
        samples = memory.stop()
        self.end()
        self.report(samples)

    def begin(self, event: Event, now: float) -> None:
        print(f"{now:8.1f} s  {event.kind} {event.arguments}", flush=True)
        arguments, line = event.arguments, self.line
        undo: Callable[[], None] | None = None
        match event.kind:
            case "loss":
                line.share = arguments["share"]
                undo = lambda: setattr(line, "share", 0.0)  # noqa: E731
            case "burst":
                line.burst = arguments["packets"]
                undo = lambda: setattr(line, "burst", 0)  # noqa: E731
            case "key":
                line.ask_for_key()
            case "caps":
                line.set_caps(arguments["size"], arguments["rate"])
            case "gap":
                line.set_gap(True)
                undo = lambda: line.set_gap(False)  # noqa: E731
            case "pause":
                line.sender.set_state(self.gst.State.PAUSED)
                undo = lambda: line.sender.set_state(self.gst.State.PLAYING)  # noqa: E731
        if undo is not None:
            self.until.append((now + arguments["seconds"], undo))

    def listen(self, seconds: float) -> None:
        """Answers both pipelines' messages for a while."""
        kinds = self.gst.MessageType
        kinds = kinds.ERROR | kinds.WARNING | kinds.LATENCY | kinds.EOS
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and not self.wrong:
            for pipeline, share in ((self.line.sender, 1.0), (self.line.receiver, 0.0)):
                bus = pipeline.get_bus()
                wait = int(min(left, 0.1) * share * self.gst.SECOND)
                while (message := bus.timed_pop_filtered(wait, kinds)) is not None:
                    wait = 0
                    self.take(pipeline, message)

    def take(self, pipeline: Any, message: Any) -> None:
        match message.type:
            case self.gst.MessageType.LATENCY:
                pipeline.recalculate_latency()
            case self.gst.MessageType.ERROR:
                error, details = message.parse_error()
                self.wrong.append(f"{message.src.get_name()}: {error.message} ({details})")
            case self.gst.MessageType.WARNING:
                # Losses are warnings.
                print(f"            {message.src.get_name()}: {message.parse_warning()[0].message}", flush=True)
            case self.gst.MessageType.EOS:
                self.wrong.append("a stream ended early")

    def end(self) -> None:
        """Lets both pipelines end, one after the other."""
        for _, undo in self.until:
            undo()
        for pipeline in (self.line.sender, self.line.receiver):
            pipeline.send_event(self.gst.Event.new_eos())
            kinds = self.gst.MessageType.ERROR | self.gst.MessageType.EOS
            message = pipeline.get_bus().timed_pop_filtered(PATIENCE * self.gst.SECOND, kinds)
            if message is None or message.type != self.gst.MessageType.EOS:
                self.wrong.append(f"{pipeline.get_name()} did not end")
            # What the network still holds.
            time.sleep(0.5)

    def report(self, samples: list[tuple[float, int]]) -> None:
        line, ledger = self.line, self.ledger
        ledger.finish()
        sender = line.stats(line.sender, "encoder")
        depayloader, decoder = (line.stats(line.receiver, name) for name in ("depayloader", "decoder"))
        line.close()
        print()
        for name, count in sorted(ledger.counts.items()):
            print(f"{count:10}  {name}")
        print(f"{line.requests_lost:10}  requests for a segment start lost on their way")
        for name, fields in (("encoder", sender), ("depayloader", depayloader), ("decoder", decoder)):
            counts = ", ".join(f"{name} {value}" for name, value in fields.items() if isinstance(value, int))
            print(f"{name}: {counts}")
        print()
        for sentence, left, right in equations(ledger.counts, sender, depayloader, decoder):
            print(f"{'ok    ' if left == right else 'FAILED'}  {sentence}: {left} and {right}")
            if left != right:
                self.wrong.append(sentence)
        print(f"kB by the minute: {' '.join(f'{kb:.0f}' for kb in by_minute_kb(samples))}")
        before, after = medians_kb(samples, windows(self.seconds))
        is_flat = after - before <= (MAX_SHORT_GROWTH_KB if self.seconds < 240 else MAX_GROWTH_KB)
        sign = "ok    " if is_flat else "FAILED"
        print(f"{sign}  resident memory: {before:.0f} kB, and at the end {after:.0f}: {after - before:+.0f}")
        if not is_flat:
            self.wrong.append("memory grows")
        self.wrong += ledger.wrong


def soak(options: argparse.Namespace) -> int:
    run = Soak(options.seed, options.minutes * 60)
    run.run()
    for text in run.wrong:
        print(f"FAILED  {text}")
    return 1 if run.wrong else 0


def watched(options: argparse.Namespace) -> int:
    """Runs the soak in a process whose objects GStreamer counts, and looks at those that were left."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "leaks"
        environment = {
            **os.environ,
            # With several arenas, memory also depends on which thread got which.
            "MALLOC_ARENA_MAX": "1",
            "GST_TRACERS": "leaks",
            "GST_DEBUG": "GST_TRACER:7",
            "GST_DEBUG_FILE": str(log),
            "GST_DEBUG_NO_COLOR": "1",
        }
        words = [f"--minutes={options.minutes}", f"--seed={options.seed}", "--inner"]
        code = subprocess.run([sys.executable, __file__, *words], env=environment).returncode
        alive = [line for line in log.read_text("utf-8", "replace").splitlines() if ":: object-alive" in line]
    print(f"{'FAILED' if alive else 'ok    '}  objects left at the end: {len(alive)}")
    for line in alive[:20]:
        print(line)
    passed = code == 0 and not alive
    print(f"\n{int(passed)} passed, {int(not passed)} failed")
    return 0 if passed else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inner:
        return watched(options)
    code = soak(options)
    import gc

    from line import Gst

    gc.collect()
    Gst.deinit()
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing is accounted for")
