"""Published configurations are read; others are refused with a message."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from golden import FILES, PUBLISHED, Golden, configuration, document
from vidtok_export import architecture, build
from vidtok_export.architecture import ConfigurationError

V1_1 = "vidtok_fsq_causal_488_32768_v1_1"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations(name: str) -> None:
    published, ours = PUBLISHED[name], configuration(name, ch=128)
    assert ours.family.name == published["family"]
    assert ours.levels == (tuple(published["levels"]) if "levels" in published else None)
    for key in ("z_channels", "ch", "num_res_blocks", "time_factor", "space_factor"):
        assert getattr(ours, key) == published[key]
    for key in ("ch_mult", "spatial_down", "temporal_down", "spatial_up", "temporal_up"):
        assert sorted(getattr(ours, key)) == sorted(published[key])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_parameter_names_and_shapes(path: Path) -> None:
    golden = Golden(path)
    assert build.parameters(golden.configuration) == {name: tuple(s) for name, s in golden.meta["shapes"].items()}


def test_a_published_file_with_all_its_other_sections(tmp_path: Path) -> None:
    whole = document(V1_1) | {"data": {"params": {"batch_size": 1}}, "lightning": {"trainer": {"devices": "auto"}}}
    whole["model"]["params"]["loss_config"] = {"params": {"regularization_weights": {"aux_loss": 1.0}}}
    path = tmp_path / "config.yaml"
    path.write_text("# a comment\n" + yaml.safe_dump(whole))
    assert architecture.load(path) == configuration(V1_1, ch=128)


def encoder(document: dict) -> dict:
    return document["model"]["params"]["encoder_config"]


WRONG: list[tuple[Callable[[dict], object], str]] = [
    (lambda d: d.pop("model"), "model.params.encoder_config is missing"),
    (lambda d: encoder(d).update(target="vidtwin.modules.Encoder"), "no known family"),
    (
        lambda d: d["model"]["params"]["decoder_config"].update(target="x.model_3dcausal.DecoderCausal3DPadding"),
        "belong",
    ),
    (lambda d: d["model"]["params"]["decoder_config"].update(params={"ch": 4}), "ch_mult is None"),
    (lambda d: d["model"]["params"]["regularizer_config"].update(target="x.VectorQuantizer"), "neither FSQ nor KL"),
    (lambda d: d["model"]["params"]["regularizer_config"]["params"].update(levels=[8] * 4), "4 FSQ levels"),
    (lambda d: d["model"]["params"]["regularizer_config"]["params"].update(levels=[4096] * 5), "a codebook of"),
    (lambda d: d["model"]["params"]["regularizer_config"]["params"].update(levels=[2] * 65), "a list of 1 to 64"),
    (lambda d: encoder(d)["params"].update(z_channels=65), "z_channels is 65; an integer from 1 to 64"),
    (lambda d: encoder(d).update(params="${model.params.decoder_config.params}"), "circle"),
    (lambda d: encoder(d)["params"].update(norm_type="groupnorm"), "norm_type is 'groupnorm'"),
    (lambda d: encoder(d)["params"].update(interpolation_mode="nearest"), "interpolation_mode is 'nearest'"),
    (lambda d: encoder(d)["params"].update(ch=True), "ch is True"),
    (lambda d: encoder(d)["params"].update(num_res_blocks=10**9), "num_res_blocks is 1000000000"),
    (lambda d: encoder(d)["params"].update(ch_mult=[1] * 1000), "a list of 1 to 8"),
    (lambda d: encoder(d)["params"].update(tempo_ds=[2, 2]), "names a level twice"),
    (lambda d: encoder(d)["params"].update(spatial_ds=[0, 1]), "has levels that spatial_ds"),
    (lambda d: encoder(d)["params"].update(time_downsample_factor=8), "time_downsample_factor is 8"),
    (lambda d: encoder(d)["params"].update(tempo_us=[1]), "does not undo"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_configurations(change: Callable[[dict], object], message: str) -> None:
    wrong = document(V1_1)
    change(wrong)
    with pytest.raises(ConfigurationError, match=message):
        architecture.parse(wrong)


@pytest.mark.parametrize("text", ["{", "- 1", "", "!!python/object/apply:os.system ['true']", "a: \x00"])
def test_files_that_are_not_a_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.yaml"):
        architecture.load(path)


def test_a_message_is_no_longer_than_it_needs_to_be() -> None:
    bomb: list = ["x"]
    for _ in range(60):  # 2⁶⁰ elements, as nested aliases in YAML can make them
        bomb = [bomb, bomb]
    wrong = document(V1_1)
    encoder(wrong)["params"]["ch"] = bomb
    with pytest.raises(ConfigurationError, match="ch is") as error:
        architecture.parse(wrong)
    assert len(str(error.value)) < 1000
