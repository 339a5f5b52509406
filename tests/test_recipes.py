from __future__ import annotations

import re

import pytest
import yaml

from ssl_ecg import prepare, simulate
from ssl_ecg.cli import run
from ssl_ecg.errors import RecipeError
from ssl_ecg.recipes import bind, copy_recipe, dump_recipe, list_recipes, load_recipe, read_about

RECIPES = sorted(list_recipes())


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_binds_and_stays_the_same(name: str) -> None:
    bound = load_recipe(name)
    assert load_recipe(yaml.safe_load(dump_recipe(bound))) == bound
    assert read_about(list_recipes()[name])


def test_there_are_recipes_for_every_method() -> None:
    from ssl_ecg.methods.registry import METHODS

    pretraining = [load_recipe(name) for name in RECIPES if name.startswith("pretrain/")]
    assert {recipe["method"]["name"] for recipe in pretraining} == set(METHODS)


def test_short_names_and_paths(tmp_path) -> None:
    copied = copy_recipe("simclr", tmp_path / "mine.yaml")
    assert load_recipe(copied) == load_recipe("simclr") == load_recipe("pretrain/simclr")
    with pytest.raises(RecipeError, match="there already"):
        copy_recipe("simclr", copied)


def test_overrides() -> None:
    bound = load_recipe("simclr", ["train.lr=1e-3", "views.transforms.0.largest=3", "data.folds=[1, 2]"])
    assert bound["train"]["lr"] == 1e-3
    assert bound["views"]["transforms"][0]["largest"] == 3.0
    assert bound["data"]["folds"] == [1, 2]


def test_overrides_reach_into_short_forms_and_empty_sections(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("encoder: conv1d\nmethod: simclr\nviews: {transforms: [gain, lead_mask]}\ndata:\ntrain:\n")
    bound = load_recipe(path, ["views.transforms.0.p=0.25", "views.transforms.1.name=speed", "data.folds=[1]"])
    steps = bound["views"]["transforms"]
    assert [(step["name"], step["p"]) for step in steps] == [("gain", 0.25), ("speed", 1.0)]
    assert bound["data"]["folds"] == [1]
    path.write_text("encoder:\nmethod: simclr\n")
    assert load_recipe(path, ["encoder.name=s4"])["encoder"]["name"] == "s4"


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("train.stepps=3", "did you mean 'steps'"),
        ("trian.steps=3", "did you mean 'train'"),
        ("method.name=simclrr", "did you mean 'simclr'"),
        ("method.temprature=0.5", "did you mean 'temperature'"),
        ("encoder.name=conv2d", "did you mean 'conv1d'"),
        ("views.transforms.0.name=gian", "did you mean 'gain'"),
        ("views.transforms.0.strenght=1", "did you mean 'strength'"),
        ("views.transforms.99.p=1", "count from 0"),
        ("views.crob=3", "did you mean 'crop'"),
        ("train.steps=many", "train.steps: is 'many', not int"),
        ("train.steps=1.5", "train.steps: is 1.5, not int"),
        ("train.precision=float8", "train.precision: is 'float8', not Literal['auto', 'float32', 'bfloat16']"),
        ("data.scale=big", "data.scale: is 'big', not Literal['none', 'record', 'lead']"),
        ("data.leads=II", "data.leads: is 'II', not list[str] | None; see"),
        ("train=5", "is not section.key=value"),
        ("train.lr", "is not section.key=value"),
        ("train.lr.x=1", "holds a value"),
        ("train.out=/tmp/x", "unknown key"),
        ("train.lr=[1", "not valid YAML"),
    ],
)
def test_mistakes_are_named(override: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(hint)):
        load_recipe("simclr", [override])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "not a mapping"),
        ("- 1", "not a mapping"),
        ("a: [", "not valid YAML"),
        ("encoder: conv1d\nencoder: conv1d", "twice"),
        ("encoder: conv1d", "method: has no name"),
        ("encoder: 3\nmethod: simclr", "has no name"),
        ("encoder: conv1d\nmethod: autoencoder\nviews: {crop: 3}", "start from the recipe 'autoencoder'"),
        ("encoder: conv1d\nmethod: simclr\nviews: {transforms: gain}", "not a list"),
        ("encoder: conv1d\nmethod: simclr\ntrain: [1]", "not a mapping"),
        ("encoder: conv1d\nmethod: simclr\nabout: 3", "about"),
        ("1: 2", "unknown section 1"),
        ("yes: {lr: 1}", "unknown section True"),
        ("train: {1: 2}", "encoder: has no name"),
        ("encoder: &a [*a]", "holds itself by an alias"),
    ],
)
def test_broken_files(tmp_path, text: str, hint: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=hint):
        load_recipe(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pretrain finetune/default --data A --out B", "finetune/default: is a recipe for fine-tuning; take one for p"),
        ("pretrain evaluate/superclass --data A --out B", "evaluate/superclass: is a recipe for evaluation"),
        ("finetune evaluate/superclass --data A --out B", "evaluate/superclass: is a recipe for evaluation"),
        ("finetune simclr --data A --out B", "simclr: is a recipe for pretraining; take one for fine-tuning"),
        ("embed A --random evaluate/superclass --out B", "evaluate/superclass: is a recipe for evaluation"),
        ("evaluate finetune/default RUN --data A --out B", "finetune/default: is a recipe for fine-tuning"),
    ],
)
def test_recipes_of_another_kind_are_refused(tmp_path, capsys, line: str, said: str) -> None:
    archive = prepare(simulate(3, seed=0, seconds=4, fs=100), tmp_path / "a", workers=1, progress=False)
    places = {"A": str(archive.path), "B": str(tmp_path / "b")}
    assert run([places.get(word, word) for word in line.split()]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_binary_file(tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(path)


def test_scientific_notation_is_a_number(tmp_path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("encoder: conv1d\nmethod: autoencoder\ntrain: {lr: 1e-3, weight_decay: 1E-4, clip: .5}")
    train = load_recipe(path)["train"]
    assert (train["lr"], train["weight_decay"], train["clip"]) == (1e-3, 1e-4, 0.5)


def test_unknown_recipe_gives_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'simclr'"):
        load_recipe("simcrl")


def test_bind_fills_in_defaults() -> None:
    def target(a: int, b: float = 2.5, c: str = "x") -> None: ...

    assert bind(target, {"a": 1}, "here") == {"a": 1, "b": 2.5, "c": "x"}
    with pytest.raises(RecipeError, match="here"):
        bind(target, {"b": 1.0}, "here")


def test_another_backbone_takes_the_arguments_of_the_old_one_away() -> None:
    from ssl_ecg.models.registry import ENCODERS

    for name, encoders in (("finetune/scratch", sorted(ENCODERS)[::3]), ("simclr", ["resnet34"])):
        before = load_recipe(name)
        for encoder in encoders:
            bound = load_recipe(name, [f"encoder.name={encoder}"])
            same = encoder == before["encoder"]["name"]
            assert bound["encoder"] == (before if same else load_recipe({**before, "encoder": encoder}))["encoder"]
            assert {**bound, "encoder": 0} == {**before, "encoder": 0}
        two = load_recipe(name, ["encoder.n_leads=2", "encoder.name=resnet34"])
        assert two == load_recipe(name, ["encoder.name=resnet34", "encoder.n_leads=2"])
        assert two["encoder"]["n_leads"] == 2


def test_other_losses_methods_and_parts_likewise() -> None:
    loss = load_recipe("finetune/lead_attention_cinc", ["loss.gamma=3", "loss.name=focal"])["loss"]
    assert loss == {"name": "focal", "alpha": None, "gamma": 3.0, "power": 0.0, "largest": 20.0}
    with pytest.raises(RecipeError, match=r"loss\.gamma: unknown key"):
        load_recipe("finetune/resnet_lstm_ptbxl", ["loss.name=bce", "loss.gamma=3"])
    before = load_recipe("simclr")
    bound = load_recipe("simclr", ["method.name=vicreg", "method.hidden_dim=64"])
    assert bound["method"] == load_recipe({**before, "method": {"name": "vicreg", "hidden_dim": 64}})["method"]
    combined = {
        **before,
        "method": {"name": "combined", "parts": [{"name": "simclr", "temperature": 0.3, "weight": 2}]},
    }
    part = load_recipe(combined, ["method.parts.0.name=vicreg"])["method"]["parts"][0]
    assert (part["name"], part["weight"]) == ("vicreg", 2.0)
    wide = load_recipe("simclr", ["views.transforms.0.name=gain", "views.transforms.0.largest=2"])
    assert wide["views"]["transforms"][0]["largest"] == 2.0
