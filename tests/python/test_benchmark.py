"""The benchmark's arithmetic and tables. Nothing is measured."""

import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from golden import ROOT

sys.path.append(str(ROOT / "benches"))

import benchmark  # noqa: E402
import graphs  # noqa: E402
import options  # noqa: E402
import peer  # noqa: E402
import report  # noqa: E402
from peer import Peer  # noqa: E402


def test_summary_takes_the_median_turn_and_percentiles_of_all_steps() -> None:
    figures = report.summary([[10.0, 10.0], [20.0, 20.0], [90.0, 30.0]], frames=4)
    assert figures["turn-mean-ms"] == [10, 20, 60]
    assert figures["mean-ms"] == 20
    assert figures["fps"] == 200
    assert figures["p50-ms"] == 20
    # Sorted, the fifth step is 30 and the sixth 90; the percentile is at ¾ between them.
    assert figures["p95-ms"] == pytest.approx(75)
    assert figures["worst-ms"] == 90
    assert figures["steps"] == 6


def test_summary_of_turns_of_different_length() -> None:
    figures = report.summary([[1.0], [2.0, 4.0]], frames=1)
    assert figures["mean-ms"] == 2
    assert figures["worst-ms"] == 4


def test_table_aligns_numbers_right_and_shows_what_is_missing() -> None:
    assert report.table(("name", "ms"), [["a", 1.234], ["b", 1234.5], ["c", None]]) == (
        "| name | ms |\n| --- | ---: |\n| a | 1.23 |\n| b | 1,234 |\n| c | – |\n"
    )


@pytest.mark.parametrize(
    ("value", "shown"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (-0.5, "-0.50"), (7, "7"), ("x", "x")]
)
def test_text(value: object, shown: str) -> None:
    assert report.text(value) == shown


def case(**figures: object) -> dict[str, object]:
    return {"tokenizer": "ch32", "role": "encoder", "size": 256, **figures}


def test_the_whole_report() -> None:
    run = report.summary([[10.0, 20.0]], 4) | {"start-ms": 50.0, "peak-mib": 80.0}
    eager = {"mean-ms": 60.0, "ratio": 4.0, "warm-s": 1.5, "differing": "0 of 9 tokens"}
    modes = {"eager": eager, "compile": {"error": "no compiler"}, "eager fp16": eager | {"differing": "1 of 9 tokens"}}
    measured = case(
        runs={"element": run, "bare": run},
        share=0.5,
        reference={"modes": modes},
        **{"gflop": 3.0, "gflops": 200.0, "sgemm-gflops": 400.0, "ratio-to-bare": 0.75},
    )
    rows = [
        {"networks": n, "threads": 1, "frames-per-second": 100.0 * n, "cpu-ms-per-step": 9.0, "running-mib": 80.0}
        for n in (1, 2)
    ]
    text = report.markdown(
        {
            "machine": {"cpu": "A CPU", "cores": 2, "memory-mib": 4096, "os": "An OS", "load": 0.1, "threads": 2},
            "versions": {"ONNX Runtime": "1.0"},
            "options": {"provider": "cpu", "repeats": 1},
            "cases": [measured],
            "parallel": [{"role": "encoder", "rows": rows}],
        }
    )
    lines = text.splitlines()
    for line in (
        "A CPU, 2 cores, 4 GiB; An OS; ONNX Runtime 1.0. Provider cpu, 2 threads; 1 turns. Load before: 0.1.",
        "| ch32 | 256×256 | encoder | 15.0 | 19.5 | 20.0 | 267 | 80.0 | 50.0 | 50.0% | 4.00 |",
        "| ch32 | 256×256 | encoder | element | 15.0 | 19.5 | 20.0 | 267 | 80.0 | 50.0 |",
        "| ch32 | 256×256 | encoder | 3.00 | 200 | 400 | 50.0% | 0.75 |",
        "| ch32 | 256×256 | encoder | eager | 60.0 | 4.00 | 1.50 | 0 of 9 tokens |",
        "| ch32 | 256×256 | encoder | eager fp16 | 60.0 | 4.00 | 1.50 | 1 of 9 tokens |",
        "| ch32 | 256×256 | encoder | compile | – | – | – | no compiler |",
        "| encoder | 1 | 2 | 200 | 2.00 | 9.00 | 80.0 |",
    ):
        assert line in lines


def turn(*steps: float, start: float = 50.0, peak: float = 80.0) -> dict[str, object]:
    """The figures that a turn's process prints, for steps of four frames."""
    return {
        "step-ms": list(steps),
        "step-frames": 4,
        "start-ms": start,
        "peak-mib": peak,
        "plugin": "1",
        "gstreamer": "2",
    }


def test_figures_of_a_case() -> None:
    runs = {
        "element": [turn(10.0, start=1.0), turn(20.0, start=3.0), turn(30.0, start=2.0, peak=90.0)],
        "bare": [turn(40.0), turn(40.0), turn(40.0)],
    }
    referred = {"sgemm-gflops": 90.0, "modes": {"eager": {"mean-ms": 60.0}, "compile": {"error": "none"}}}
    figures = benchmark.result(runs, [100.0, 300.0, 200.0], 2.0, referred)
    assert figures["runs"]["element"]["start-ms"] == 2
    assert figures["runs"]["element"]["peak-mib"] == 80
    assert figures["ratio-to-bare"] == 0.5
    # 2 GFLOP in 20 ms. The median of NumPy's products is faster than PyTorch's.
    assert figures["gflops"] == pytest.approx(100)
    assert figures["sgemm-gflops"] == 200
    assert figures["share"] == pytest.approx(0.5)
    assert figures["reference"]["modes"]["eager"]["ratio"] == 3
    assert "ratio" not in figures["reference"]["modes"]["compile"]
    referred["sgemm-gflops"] = 400.0
    assert benchmark.result(runs, [100.0], 2.0, referred)["share"] == pytest.approx(0.25)


def test_half_precision_is_compared_with_half_precision() -> None:
    runs = {"element": [turn(20.0)], "element fp16": [turn(5.0)]}
    modes = {"eager": {"mean-ms": 40.0}, "compile fp16": {"mean-ms": 20.0}}
    figures = benchmark.result(runs, [], None, {"sgemm-gflops": None, "modes": modes})
    assert [mode["ratio"] for mode in figures["reference"]["modes"].values()] == [2, 4]
    assert "share" not in figures


# A process that answers like reference.py.
CHILD = """
import json, sys
import numpy
print(json.dumps({"torch": "9"}), flush=True)
for line in sys.stdin:
    command, _, mode = line.strip().partition(" ")
    if mode == "broken" and command == sys.argv[1]:
        answer = {"error": "it broke"}
    elif command == "result":
        numpy.save(sys.argv[2], [len(mode)])
        answer = {}
    else:
        answer = {"warm": {"seconds": 1.0}, "turn": {"ms": 7.0}, "sgemm": {"gflops": 5.0}}[command]
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("breaks_at", ["warm", "turn"])
def test_a_mode_of_the_reference_that_fails_stops_nothing(breaks_at: str, tmp_path: Path) -> None:
    output = tmp_path / "result.npy"
    command = [sys.executable, "-c", CHILD, breaks_at, output]
    with Peer(command, ["eager", "broken"], peer.without_tuning(1), tmp_path / "log", output) as asked:
        asked.turn()
        asked.turn()
        figures = asked.figures()
        assert asked.result("eager") == [5]
        assert asked.result("broken") is None
    assert figures["torch"] == "9"
    assert figures["sgemm-gflops"] == 5
    assert figures["modes"]["eager"] == {"mean-ms": 7, "turn-mean-ms": [7, 7], "warm-s": 1}
    assert figures["modes"]["broken"] == {"error": "it broke"}


def test_a_reference_that_does_not_start_names_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Peer([sys.executable, "-c", "raise SystemExit('no torch')"], ["eager"], peer.without_tuning(1), log, log)
    with pytest.raises(SystemExit, match=str(log)), child:
        pass
    assert "no torch" in log.read_text()


def model(nodes: list[onnx.NodeProto], inputs: dict[str, tuple], weights: dict[str, tuple]) -> onnx.ModelProto:
    """A model with inferred shapes; inputs and weights are {name: shape}."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [
            helper.make_tensor(name, TensorProto.FLOAT, shape, bytes(4 * onnx.numpy_helper.np.prod(shape)), raw=True)
            for name, shape in weights.items()
        ],
    )
    return onnx.shape_inference.infer_shapes(helper.make_model(graph))


def test_operations_of_a_convolution_with_stride_and_groups() -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["out"], strides=[2, 2], pads=[1, 1, 1, 1], group=2)
    counted = graphs.operations(model([conv], {"x": (1, 6, 8, 8)}, {"w": (4, 3, 3, 3)}))
    # 4 channels of 4×4 positions, each a sum of 3 channels of 3×3.
    assert counted == [2 * 4 * 4 * 4 * 3 * 9]


def test_operations_of_products() -> None:
    product = helper.make_node("MatMul", ["x", "w"], ["out"])
    assert graphs.operations(model([product], {"x": (5, 7, 3)}, {"w": (3, 11)})) == [2 * 5 * 7 * 11 * 3]
    gemm = helper.make_node("Gemm", ["x", "w"], ["out"], transA=1)
    assert graphs.operations(model([gemm], {"x": (3, 7)}, {"w": (3, 11)})) == [2 * 7 * 11 * 3]


def test_a_mean_written_as_a_product_does_not_count() -> None:
    product = helper.make_node("MatMul", ["row", "x"], ["out"])
    assert graphs.operations(model([product], {"x": (32, 100)}, {"row": (1, 32)})) == [0]


def test_an_unknown_shape_is_an_error() -> None:
    product = helper.make_node("MatMul", ["x", "w"], ["out"])
    with pytest.raises(ValueError, match="shape of x is not known"):
        graphs.operations(model([product], {"x": ("n", 3)}, {"w": (3, 11)}))


def test_operations_of_the_exported_graphs_are_in_proportion_to_the_picture(tmp_path: Path) -> None:
    """A quarter of the positions takes a quarter of the operations, in attention a sixteenth."""
    graphs.export(8, tmp_path)
    for role in ("encoder", "decoder"):
        small, large = (graphs.gflop(tmp_path / f"{role}.onnx", size) for size in (64, 128))
        # Scores, and their product with the values: [positions, positions, channels] each.
        attention = [2 * 2 * (size / 8) ** 4 * 32 / 1e9 for size in (64, 128)]
        assert (large - attention[1]) / (small - attention[0]) == pytest.approx(4)


def test_options_depend_on_quick() -> None:
    long, short = options.parse([]), options.parse(["--quick"])
    assert (long.repeats, long.networks, options.steps(long, "ch32")) == (5, [1, 2, 4, 8], 10)
    assert (short.repeats, short.networks, options.steps(short, "ch32")) == (1, [1, 2], 3)
    assert options.sizes(long, "ch128") == [128]
    chosen = options.parse(["--quick", "--repeats", "3", "--sizes", "64,128", "--only", "ch128", "--only", "ch32"])
    assert (chosen.repeats, chosen.sizes, chosen.only) == (3, [64, 128], ["ch32", "ch128"])


@pytest.mark.parametrize(
    "words",
    [["--repeats", "0"], ["--sizes", "a"], ["--sizes", "64,100"], ["--reference", "/"], ["--reference-frames", "16"]],
)
def test_wrong_options_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.parse(words)
    assert words[0] in capsys.readouterr().err
