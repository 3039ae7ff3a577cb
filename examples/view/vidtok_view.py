#!/usr/bin/env python3
"""Shows video, what tokens make of it, and the tokens, side by side and live.

    ./examples/view/vidtok_view.py [OPTION...] ADDRESS

ADDRESS is one of
    FILE                a video, or a .vidtok file of tokens
    camera, /dev/video0 a camera: any, or this one
    udp://HOST:PORT     tokens by RTP; senders without config-interval need --sdp FILE as well
    FILE.sdp            the same: address and tokens are in the file
    rtsp://…            tokens of an RTSP server
    test                a test picture, live

The window ends with q, Escape, its own button, or Ctrl-C.

Needs, by their names on Debian: python3-gi, gir1.2-gst-plugins-base-1.0, python3-cairo, python3-numpy, for a window
gstreamer1.0-x; and the plugin in GST_PLUGIN_PATH.
"""

import argparse
import math
import signal
import sys
from pathlib import Path

from drawing import Canvas, Figure, Pane, Picture
from figures import bit_rate, factor, percent, share
from gstreamer import Gst, StreamError, sdp_file
from layout import Layout, arrange, largest
from screen import Film, Screen, Still, Window
from sources import RTP_CAPS, AddressError, Source, launch_line, source
from stream import Stream
from token_map import TokenError

PANES = ("original", "reconstruction", "tokens", "difference")
# How much brighter the difference is.
GAIN = 4
# Seconds that --headless waits for the next picture of a video, for instance of a large one on a slow machine.
SLOW = 120.0
# Seconds after which the window appears, whether or not there are pictures.
PROMPT = 1.5
# Seconds between pictures while nothing comes.
TICK = 0.1


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", metavar="ADDRESS")
    parser.add_argument(
        "--panes", help=f"of {', '.join(PANES)}; with commas between them (all that there are but the last)"
    )
    parser.add_argument("--width", type=int, default=1280, help="of the window in pixels (1280)")
    parser.add_argument("--sdp", metavar="FILE", help="for udp://: what the tokens are")
    parser.add_argument("--loss", type=float, default=0, metavar="PERCENT", help="send tokens by RTP, and lose packets")
    parser.add_argument("--encoder", default="", metavar="TEXT", help='properties, such as "key-interval=30 size=256"')
    parser.add_argument("--decoder", default="", metavar="TEXT", help='properties, such as "on-loss=continue"')
    parser.add_argument("--loop", action="store_true", help="begin a file anew at its end")
    parser.add_argument("--sink", metavar="TEXT", help="launch line of the sink (autovideosink sync=false)")
    parser.add_argument("--headless", type=int, metavar="N", help="draw N pictures without a screen, into --out")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".png: the last picture; .mp4: all of them")
    parser.add_argument(
        "--patience", type=float, default=10, metavar="SECONDS", help="of --headless with a dead address (10)"
    )
    options = parser.parse_args(arguments)
    if (options.headless is None) != (options.out is None):
        parser.error("--headless N and --out FILE go together")
    if options.headless is not None and options.headless < 1:
        parser.error("--headless: at least 1 picture")
    if options.out and options.out.suffix not in (".png", ".mp4"):
        parser.error(f"--out {options.out}: its name has to end in .png or .mp4")
    if not 320 <= options.width <= 7680:
        parser.error("--width: from 320 to 7680")
    if not 0 <= options.loss < 100:
        parser.error("--loss: from 0 to less than 100 percent")
    if not options.patience > 0:
        parser.error("--patience: more than 0 seconds")
    return options


def panes_of(text: str | None, source: Source) -> list[str]:
    has = [name for name in PANES if source.has_original or name in ("reconstruction", "tokens")]
    if text is None:
        return [name for name in has if name != "difference"]
    panes = text.split(",")
    for name in panes:
        if name not in PANES:
            raise AddressError(f"--panes: there is no {name!r}; there are {', '.join(PANES)}")
        if name not in has:
            raise AddressError(f"--panes: {source.address} has no original pictures, so there is no {name}")
    return panes


class Viewer:
    def __init__(self, options: argparse.Namespace) -> None:
        announced = options.sdp or (options.address if options.address.endswith(".sdp") else None)
        self._source = source(options.address, sdp_file(announced) if announced else None)
        if options.loss and not self._source.has_original:
            raise AddressError("--loss is for video that is tokenized here; this stream comes as tokens")
        self._panes = panes_of(options.panes, self._source)
        box = largest(len(self._panes), options.width)
        settings = {"encoder": options.encoder, "decoder": options.decoder, "loss": options.loss}
        self._stream = Stream(self._source, launch_line(self._source, box=box, **settings))
        self._width, self._loss, self._loop = options.width, options.loss, options.loop
        self._wanted: int | None = options.headless
        self._patience: float = options.patience
        self._canvas: Canvas | None = None
        self._sized = False
        self._height: int | None = None

    def run(self, screen: Screen) -> None:
        """Until the stream or the user ends it. Raises a `StreamError`, for a network's stream only if `headless`."""
        try:
            self._draw(screen)
            self._stream.start()
            while not screen.wants_to_end():
                # A file becomes a film as fast as it goes.
                new = self._stream.poll(TICK, paced=self._wanted is None or self._source.live)
                if new or self._wanted is None:
                    self._draw(screen)
                if self._wanted is not None and self._stream.shown >= self._wanted:
                    return
                if not new and self._over():
                    return
        except KeyboardInterrupt:
            pass
        except StreamError:
            # The picture says it, too.
            self._draw(screen)
            raise
        finally:
            self._stream.stop()

    def _over(self) -> bool:
        """Whether nothing more will come. Tries again what may be there later."""
        stream, headless = self._stream, self._wanted is not None
        again = self._source.network and not headless
        if stream.error and not again:
            raise StreamError(f"{self._source.address}: {stream.error}")
        # What is tokenized here may be slow, but somebody is there.
        patience = self._patience if self._source.network else max(self._patience, SLOW)
        if headless and stream.silence() > patience:
            raise StreamError(f"{self._source.address}: {self._silent(patience)}")
        if not (stream.error or stream.over()):
            return False
        if again:
            if stream.is_time_to_retry():
                stream.restart()
            return False
        if not stream.shown:
            raise StreamError(f"{self._source.address}: it has no pictures")
        if self._loop and not headless:
            stream.rewind()
            return False
        return True

    def _draw(self, screen: Screen) -> None:
        figures = self._figures()
        if not self._sized:
            picture = self._stream.reconstruction or self._stream.original
            if self._wanted is None and not picture and self._stream.silence() < PROMPT:
                # The window soon has the shape of the pictures.
                return
            self._sized = self._stream.reconstruction is not None
            # Once it is there, it keeps its size.
            self._canvas = Canvas(self._layout(picture, figures, self._height))
            self._height = self._canvas.layout.height if self._wanted is None else None
        assert self._canvas
        self._canvas.draw([self._pane(name) for name in self._panes], figures, self._message())
        # A film has one size: it begins with the first picture.
        if self._sized or self._wanted is None or isinstance(screen, Still):
            screen.show(self._canvas, self._stream.time)

    def _layout(self, picture: Picture | None, figures: list[Figure], height: int | None) -> Layout:
        high, wide = picture.pixels.shape[:2] if picture else (3, 4)
        return arrange(len(self._panes), wide / high, [figure.weight for figure in figures], self._width, height)

    def _pane(self, name: str) -> Pane:
        stream = self._stream
        width, height = stream.video
        if name == "original":
            rate = f", {stream.framerate:.4g} fps" if stream.framerate else ""
            own = stream.input_size() or (width, height)
            return Pane("Original", f"{own[0]}×{own[1]}{rate}" if own[0] else "", stream.original)
        if name == "reconstruction":
            how = "lost tokens replaced" if stream.concealed else "from the tokens alone"
            if (width, height) != (stream.input_size() or (0, 0)):
                how = f"{width}×{height}, {how}"
            return Pane("Reconstruction", how if stream.shown else "", stream.reconstruction, stream.concealed)
        if name == "difference":
            return Pane("Difference", f"×{GAIN}", difference(stream.original, stream.reconstruction))
        if not (layout := stream.layout):
            return Pane("Tokens")
        values = f"one of {math.prod(layout.levels):,}" if layout.levels else f"{layout.channels} numbers"
        return Pane("Tokens", f"{layout.width}×{layout.height}, each {values}", stream.tokens)

    def _figures(self) -> list[Figure]:
        stream, source = self._stream, self._source
        started = stream.shown > 0
        figures = [
            Figure("tokenizer", stream.model or "–", 2.0),
            Figure("bit rate", bit_rate(stream.rate.bits()) if started else "–"),
        ]
        if source.live:
            latency = "–" if stream.latency is None else f"{1000 * stream.latency:.0f} ms"
            label = "latency from arrival" if source.network else "latency"
            figures.append(Figure(label, latency, 1.3 if source.network else 1.0))
            if (decoded := stream.stat("decoder", "lateness-ms")) is not None:
                figures.append(Figure("of it, decoded after", f"{decoded:.0f} ms", 1.3))
        else:
            figures.append(Figure("network, per step", f"{stream.step_ms():.1f} ms" if started else "–", 1.2))
        speed = stream.real_time_factor() if started else None
        slow = speed is not None and speed < 1
        figures.append(Figure("real-time factor", factor(speed), 1.1, alarm=slow))
        dropped = stream.dropped() if started else 0
        figures.append(Figure("frames dropped", str(dropped), 1.1, alarm=dropped > 0))
        if source.network or self._loss:
            lost, came = (stream.packets() or (0, 0)) if started else (0, 0)
            figures.append(Figure("packets lost", f"{lost} ({percent(share(lost, came))})", 1.2, alarm=lost > 0))
            concealed = (stream.concealed_share() or 0.0) if started else 0.0
            figures.append(Figure("cells replaced", percent(concealed), 1.0, alarm=concealed > 0))
        return figures

    def _message(self) -> str | None:
        stream, address = self._stream, self._source.address
        if stream.error:
            again = ". Trying again." if self._source.network and self._wanted is None else ""
            return f"{address}: {stream.error}{again}"
        if stream.ended:
            return None
        silence = stream.silence()
        if silence > self._source.patience:
            return f"{address}: {self._silent(silence)}"
        return None if stream.shown else f"Waiting for {address}"

    def _silent(self, seconds: float) -> str:
        if not self._source.network:
            return f"no picture was ready for {seconds:.0f} s"
        if not self._stream.packets_come():
            return f"nothing has come for {seconds:.0f} s"
        # Tokens that nothing describes are not even read.
        unknown = self._stream.layout is None and self._source.caps == RTP_CAPS
        hint = "; if its sender does not set config-interval, give --sdp FILE" if unknown else ""
        return f"packets come, but no picture for {seconds:.0f} s{hint}"


def difference(one: Picture | None, other: Picture | None) -> Picture | None:
    if not one or not other or one.pixels.shape != other.pixels.shape:
        return None
    apart = abs(one.pixels.astype("int16") - other.pixels)
    return Picture((apart * GAIN).clip(0, 255).astype("uint8"))


def main() -> None:
    options = options_of()
    # As with Ctrl-C, what is in a film so far can be played.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    Gst.init(None)
    try:
        viewer = Viewer(options)
        screen: Screen
        if options.out is None:
            screen = Window(options.sink)
        else:
            screen = Still(options.out) if options.out.suffix == ".png" else Film(options.out)
        try:
            viewer.run(screen)
        finally:
            screen.close()
    except (StreamError, AddressError, TokenError) as error:
        sys.exit(f"vidtok_view.py: {error}")


if __name__ == "__main__":
    main()
