"""What Prometheus reads."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from camera import COUNTED, MEASURED, PACKETS
from fleet import Fleet
from lateness import BOUNDS

LABELS = ("camera", "kind")
HELP = {
    "frames": "Frames that were encoded or decoded",
    "latent-frames": "Latent frames that were encoded or decoded",
    "bytes": "Bytes of tokens",
    "segments": "Segments that were started",
    "dropped": "Frames that were left out",
    "gaps": "Losses that the decoder noticed",
    "uncertain-frames": "Pictures that were decoded in spite of a loss",
    "packets": "RTP packets that came",
    "concealed-cells": "Cells of tokens that did not come",
    "concealed-latent-frames": "Latent frames of which nothing came",
    "holes": "Times that latent frames were missing and not made up",
    "late": "RTP packets that came too late",
    "held": "RTP packets that were not used, as the start of their segment had not come",
    "key-requests": "Times that the sender was asked for a segment start",
    "step-ms-mean": "How long the network takes for a step, on average",
    "step-ms-max": "How long the network took for a step at most",
    "real-time-factor": "Seconds of video per second of the network's time",
    "latency-ms": "The latency that the network's element declares",
    "lateness-ms": "How long after the running time of its first frame the latest buffer left",
}


def name_of(field: str) -> tuple[str, float]:
    """A metric's name for a field of `stats`, and the factor to its unit."""
    is_time = "-ms" in field
    return "vidtok_" + field.replace("-ms", "-seconds").replace("-", "_"), 1e-3 if is_time else 1.0


class Cameras(Collector):
    """Reads the cameras when it is asked, so that those that were removed are gone."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def describe(self) -> list[Metric]:
        # Nothing is read while it is registered.
        return []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for kind, names in ((CounterMetricFamily, (*COUNTED, *PACKETS)), (GaugeMetricFamily, MEASURED)):
            for field in names:
                families[field] = kind(name_of(field)[0], HELP[field], labels=LABELS)
        restarts = CounterMetricFamily("vidtok_restarts", "Times that the camera was started again", labels=LABELS)
        playing = GaugeMetricFamily("vidtok_playing", "1: the camera's pipeline runs", labels=LABELS)
        state = InfoMetricFamily("vidtok_camera", "What the camera does", labels=LABELS)
        late = HistogramMetricFamily(
            "vidtok_buffer_lateness_seconds",
            "How long after the running time of its first frame a buffer leaves the network's element",
            labels=LABELS,
        )
        for camera in self._fleet.cameras():
            labels = (camera.settings.name, camera.settings.kind)
            counted, measured = camera.statistics()
            for field, value in (*counted.items(), *measured.items()):
                families[field].add_metric(labels, value * name_of(field)[1])
            restarts.add_metric(labels, camera.restarts)
            playing.add_metric(labels, float(camera.state == "playing"))
            state.add_metric(labels, {"state": camera.state})
            buckets, total = camera.lateness()
            late.add_metric(labels, cumulative(buckets), total)
        yield from families.values()
        yield from (restarts, playing, state, late)


def cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    """Buckets as Prometheus has them: each with those below it."""
    total, found = 0, []
    for bound, count in zip(BOUNDS, buckets, strict=True):
        total += count
        found.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
    return found


def registry(fleet: Fleet) -> CollectorRegistry:
    found = CollectorRegistry()
    found.register(Cameras(fleet))
    # Memory, processor time and open files of the process.
    ProcessCollector(registry=found)
    return found
