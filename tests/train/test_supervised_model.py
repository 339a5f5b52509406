"""The parts of fine-tuning: head, groups of parameters, frozen parts, schedules, averaged windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ssl_ecg import Archive, LinearProbe, prepare
from ssl_ecg.augment.transforms_lead_sets import LeadSets
from ssl_ecg.augment.views import Views
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecipeError
from ssl_ecg.leads import LEAD_SETS, STANDARD_LEADS
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.evaluation import predict_proba
from ssl_ecg.train.heads import Head
from ssl_ecg.train.losses.classes import BCE
from ssl_ecg.train.supervised.data import open_labelled, read_metadata
from ssl_ecg.train.supervised.model import Supervised, depth_units, parameter_groups
from ssl_ecg.train.supervised.module import rate_factor
from ssl_ecg.train.supervised.plan import Plan


def model(**more) -> Supervised:
    torch.manual_seed(0)
    encoder = Conv1DEncoder(widths=(8, 16))
    encoder.preprocessing = Preprocessing(scale="record", band=None)
    return Supervised(encoder, Head(16, 3, metadata="metadata" in more), BCE(), **more)


def batch(n: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "signal": torch.randn(n, 12, 200, generator=generator),
        "lead_mask": torch.ones(n, 12, dtype=torch.bool),
        "length": torch.full((n,), 200),
        "row": torch.arange(n),
        "target": (torch.rand(n, 3, generator=generator) < 0.5).float(),
        "target_mask": torch.ones(n, 3, dtype=torch.bool),
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rng = np.random.default_rng(0)
    lengths = (400, 150, 630)
    records = [
        Record(
            rng.normal(size=(12, n)).astype(np.float32), 100.0, STANDARD_LEADS, f"r{k}", patient_id=f"p{k}",
            age=None if k == 0 else 40.0 + k, sex=("female", None, "male")[k],
        )
        for k, n in enumerate(lengths)
    ]  # fmt: skip
    return prepare(records, tmp_path_factory.mktemp("data") / "a", band=None, progress=False)


def test_head_says_what_the_probe_says() -> None:
    rng = np.random.default_rng(0)
    z, metadata = rng.normal(size=(80, 6)).astype(np.float32), rng.normal(size=(80, 2)).astype(np.float32)
    head = Head(6, 2, metadata=True)
    x = head.features(torch.from_numpy(z), torch.from_numpy(metadata))
    labels = (rng.random((80, 2)) < 0.5).astype(float)
    probe = LinearProbe(strengths=(0.1,)).fit(x.numpy(), labels)
    head.start_from(probe)
    logits = head(torch.from_numpy(z), torch.from_numpy(metadata)).detach().numpy()
    np.testing.assert_allclose(logits, probe.decision_function(x.numpy()), atol=1e-5)


def test_missing_age_and_sex_are_marked_and_neutral() -> None:
    head = Head(1, 1, metadata=True)
    known = torch.tensor([[80.0, 1.0], [40.0, 0.0], [math.nan, math.nan]])
    wanted = [[0.0, 1, 1, 0, 0], [0.0, -1, -1, 0, 0], [0.0, 0, 0, 1, 1]]
    assert head.features(torch.zeros(3, 1), known).tolist() == wanted
    assert head.features(torch.zeros(1, 1)).tolist() == wanted[2:]


def test_metadata_comes_from_the_index(archive: Archive) -> None:
    values = read_metadata(archive)
    np.testing.assert_array_equal(values, [[np.nan, 0], [41, np.nan], [42, 1]])


def test_encoders_with_a_metadata_branch_are_given_it() -> None:
    class Taking(Conv1DEncoder):
        takes_metadata = True

        def forward(self, x, lengths=None, metadata=None):
            self.seen = metadata
            return super().forward(x, lengths)

    metadata = torch.tensor([[50.0 + k, math.nan] for k in range(9)])
    it = Supervised(Taking(widths=(8, 16)), Head(16, 3), BCE(), metadata=metadata)
    it.loss({**batch(), "row": torch.tensor([8, 0, 1, 2, 3, 4])})
    assert it.encoder.seen[:, 0].tolist() == [58, 50, 51, 52, 53, 54]


def test_units_go_from_input_to_output_and_hold_each_parameter_once() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1))
            self.stem = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2))
            stage = [nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(2)]
            self.stages = nn.ModuleList([nn.Sequential(*stage), nn.Sequential(*stage, stage[0])])
            self.norm = nn.LayerNorm(2)

    net = Net()
    units = depth_units(net)
    assert [len(unit) for unit in units] == [1, 4, 2, 2, 2]
    assert sorted(id(p) for unit in units for p in unit) == sorted(id(p) for p in net.parameters())


def test_rates_fall_towards_the_input() -> None:
    it = model()
    options = {"lr": 1.0, "encoder_lr": 0.5, "layer_decay": 0.1, "weight_decay": 0.3}
    groups = parameter_groups(it, mode="layerwise", **options)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(it.parameters())) == sum(len(group["params"]) for group in groups)
    assert {rates[id(p)] for p in it.head.parameters()} == {1.0}
    assert {rates[id(p)] for p in it.encoder.stages.parameters()} == {0.5}
    assert {rates[id(p)] for p in it.encoder.stem.parameters()} == {0.05}
    assert all((group["weight_decay"] > 0) == all(p.ndim > 1 for p in group["params"]) for group in groups)
    assert {g["lr"] for g in parameter_groups(it, mode="full", **options) if g["part"] == "encoder"} == {0.5}
    assert {g["part"] for g in parameter_groups(it, mode="frozen", **options)} == {"head"}
    with pytest.raises(RecipeError, match="layerwise"):
        parameter_groups(it, mode="all", **options)


def test_frozen_and_fixed_parts_stay() -> None:
    it = model()
    for frozen, fixed in ((True, False), (False, True)):
        it.frozen, it.fixed_norms = frozen, fixed
        it.train()
        before = {name: value.clone() for name, value in it.encoder.state_dict().items()}
        it.zero_grad(set_to_none=True)
        it.loss(batch()).backward()
        assert all(torch.equal(before[name], value) for name, value in it.encoder.state_dict().items())
        assert all((p.grad is None) == frozen for p in it.encoder.parameters())
        assert all(p.grad is not None for p in it.head.parameters())
    it.fixed_norms = False
    it.train()
    it.loss(batch())
    assert not torch.equal(before["stem.1.running_mean"], it.encoder.state_dict()["stem.1.running_mean"])


def test_augmentation_is_for_training_only() -> None:
    class Zero(Views):
        def forward(self, signal, lead_mask=None):
            return [torch.zeros_like(signal)]

    it = model(views=Zero()).eval()
    plain = model().eval()
    assert torch.equal(it.embed(batch())[1], plain.embed(batch())[1])
    assert it.loss(batch()) != plain.loss(batch())
    crop = model(views=Views(crop=100, n_views=1))
    crop.loss({**batch(), "length": torch.tensor([200, 150, 100, 90, 50, 200])})


def plan(**more) -> Plan:
    settings = {
        "steps": 100, "batch_size": 4, "lr": 1e-3, "encoder_lr": 1.0, "layer_decay": 1.0, "weight_decay": 0.0,
        "schedule": "cosine", "warmup": 0.1, "linear_share": 0.2, "clip": 1.0, "mode": "linear_then_full",
        "norms": "batch", "ema": 0.0, "patience": 0, "plateau_patience": 1, "plateau_factor": 0.5, "stages": 5,
        "validate_every": 5, "checkpoint_every": 5, "precision": "float32", "seed": 0, "workers": 0,
    }  # fmt: skip
    return Plan(**{**settings, **more})


def test_schedules() -> None:
    it = plan()
    assert it.linear_steps == 20
    assert [rate_factor(it, step, 20) for step in (0, 19)] == [0, 0]
    cosine = 0.5 * (1 + math.cos(math.pi * 0.2))
    assert rate_factor(it, 20, 20) == pytest.approx(0.1 * cosine)
    assert rate_factor(it, 50, 20) == pytest.approx(0.5)
    assert rate_factor(it, 100, 0) == pytest.approx(1e-3)
    assert [rate_factor(plan(schedule="plateau"), step, 0) for step in (0, 9, 99)] == [0.1, 1, 1]
    stepped = plan(schedule="step", plateau_factor=0.1, warmup=0.0)
    rates = [rate_factor(stepped, step, 0) for step in (0, 19, 20, 59, 99, 100)]
    assert rates == pytest.approx([1, 1, 0.1, 0.01, 1e-4, 1e-4])


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"lr": math.nan}, {"layer_decay": 1.5}, {"ema": 2}, {"mode": "none"}, {"validate_every": 0}],
)
def test_impossible_settings_are_named(wrong: dict) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        plan(**wrong)


def test_probabilities_are_averaged_over_windows_and_padding_counts_nowhere(archive: Archive) -> None:
    it = model().train()
    targets = np.zeros((3, 3), np.float32)
    data = open_labelled(archive, targets, np.array([0, 1, 2]), seconds=2.0, test_stride=1.5)
    rows = [2, 0, 1]
    found = predict_proba(it, data.windows(rows))
    assert it.training
    it.eval()
    starts = {0: [0, 150, 200], 1: [0], 2: [0, 150, 300, 430]}
    for place, row in enumerate(rows):
        each = []
        for start in starts[row]:
            x = torch.from_numpy(archive.read(row)[:, start : start + 200])[None]
            size = x.square().mean().sqrt()
            each.append(torch.sigmoid(it.head(it.encoder(x / size))).detach().numpy()[0])
        np.testing.assert_allclose(found[place], np.mean(each, axis=0), atol=1e-5)


def test_lead_sets_keep_a_set_and_leave_what_has_none() -> None:
    x = torch.ones(200, 12, 5)
    for size in LEAD_SETS:
        kept = LeadSets([size])(x)[0, :, 0]
        assert [lead for lead, value in zip(STANDARD_LEADS, kept, strict=True) if value] == [
            lead for lead in STANDARD_LEADS if lead in LEAD_SETS[size]
        ]
    mask = torch.ones(200, 12, dtype=torch.bool)
    mask[:, 0] = False
    assert (LeadSets([1])(x, mask) == 1).all()
    counts = LeadSets([12, 1], p=0.5)(x)[:, :, 0].sum(1)
    assert 20 < int((counts == 1).sum()) < 90
    with pytest.raises(RecipeError, match="choose from"):
        LeadSets([5])


def test_state_space_and_vectors_have_no_weight_decay() -> None:
    from ssl_ecg.models.s4 import S4Encoder
    from ssl_ecg.train.optimiser import decay_groups

    encoder = S4Encoder(width=4, depth=2, state=4)
    names = {id(p): name for name, p in encoder.named_parameters()}
    decayed, others = ({names[id(p)] for p in group["params"]} for group in decay_groups(encoder, 0.3))
    assert decayed | others == set(names.values())
    for name in names.values():
        free = name.endswith(("bias", "log_step", "log_decay", "frequency", "skip")) or ".norm." in f".{name}"
        assert (name in others) == free, name
    made = Supervised(encoder, Head(4, 2), BCE())
    for mode in ("full", "layerwise"):
        groups = parameter_groups(made, mode=mode, lr=1.0, encoder_lr=0.5, layer_decay=0.5, weight_decay=0.1)
        found = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"] if id(p) in names}
        assert found == {name: 0.0 if name in others else 0.1 for name in names.values()}


def test_crops_of_padded_strips_lie_within_them() -> None:
    """A record of 50 samples among strips of 200: its crop of 100 is the record and padding, whatever is drawn."""
    seen = []

    class Watching(Conv1DEncoder):
        def forward(self, x, lengths=None):  # type: ignore[no-untyped-def]
            seen.append((x, lengths))
            return super().forward(x, lengths)

    torch.manual_seed(0)
    encoder = Watching(widths=(8, 16))
    encoder.preprocessing = Preprocessing(scale="none", band=None)
    data = batch(2)
    data["signal"][0, :, 50:] = 0
    data["length"] = torch.tensor([50, 200])
    Supervised(encoder, Head(16, 3), BCE(), views=Views(crop=100, n_views=1)).loss(data)
    x, lengths = seen[0]
    assert lengths.tolist() == [50, 100]
    assert torch.equal(x[0, :, :50], data["signal"][0, :, :50])
    assert (x[0, :, 50:] == 0).all()
