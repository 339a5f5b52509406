"""Scores by reconstruction: loading the decoder, errors against loops over samples, the table, reasons."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate_records
from ssl_ecg.errors import CheckpointError, SignalError
from ssl_ecg.explain.by_reconstruction import reconstruction_reasons
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.pretraining import pretrain
from ssl_ecg.reconstruction.reconstruct import Reconstructor, error_map, load_reconstructor, reconstruct
from ssl_ecg.reconstruction.scores import reconstruction_table
from ssl_ecg.scaling import scale_strips
from ssl_ecg.screen.operating import OperatingPoint

FS = 50
CONV = {"name": "conv1d", "widths": [8, 16]}
TOKENS = {"name": "transformer", "width": 16, "depth": 1, "heads": 2, "patch": 10, "tokens": "lead"}
RECIPES = {
    "plain": (CONV, {"name": "autoencoder", "corruption": "none"}, "none"),
    "denoising": (CONV, {"name": "autoencoder", "corruption": "noise"}, "lead"),
    "masked": (CONV, {"name": "autoencoder", "corruption": "mask", "patch": 10}, "record"),
    "st_mem": (TOKENS, {"name": "masked", "width": 16, "depth": 1, "heads": 2}, "none"),
}


def recipe(name: str, steps: int = 3) -> dict:
    encoder, method, scale = RECIPES[name]
    train = {"steps": steps, "batch_size": 16, "lr": 5e-3, "precision": "float32"}
    return {"encoder": encoder, "method": method, "data": {"seconds": 4, "scale": scale}, "train": train}


def spoilt() -> list[Record]:
    """Two records of usual length with noise in one lead's 6th and 7th second, a gap and an absent lead; a long one."""
    first, second, third = simulate_records(3, seed=5, fs=FS, records_per_patient=(1, 1), seconds=11.3)
    noisy = first.signal.copy()
    noisy[9, 300:400] += 3 * np.random.default_rng(0).normal(size=100)
    gap = second.signal.copy()
    gap[4, 20:90] = np.nan
    keep = [k for k in range(12) if k != 7]
    few = Record(gap[keep], FS, tuple(STANDARD_LEADS[k] for k in keep), "gap")
    return [Record(noisy.astype(np.float32), FS, first.leads, "noisy"), few, Record(third.signal, FS, third.leads, "l")]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    usual = simulate_records(60, seed=1, fs=FS)
    out = tmp_path_factory.mktemp("reconstruction") / "archive"
    return prepare([*usual, *spoilt()], out, fs=FS, band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, archive):
    folder = tmp_path_factory.mktemp("runs")
    return {name: pretrain(recipe(name), archive, folder / name, progress=False) for name in RECIPES}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, archive) -> Reconstructor:
    run = tmp_path_factory.mktemp("trained") / "run"
    return load_reconstructor(pretrain(recipe("plain", steps=80), archive, run, progress=False), archive)


def slow_errors(model: Reconstructor, archive: Archive, row: int) -> np.ndarray:
    """Reconstruct window by window, samples one by one: error (lead, time), NaN where there is none."""
    signal = archive.read(row)
    n, window = signal.shape[1], 4 * FS
    starts = [*list(range(0, n - window, window)), n - window]
    error = np.full(signal.shape, np.nan)
    for start in starts:
        predicted = model.predict(signal[None, :, start : start + window])[0]
        for lead in range(12):
            for t in range(window):
                if np.isnan(error[lead, start + t]) and archive.lead_mask(row)[lead]:
                    error[lead, start + t] = abs(predicted[lead, t] - signal[lead, start + t])
    return error


def amplitude(lead: np.ndarray) -> float:
    """Take the windows of 4 s apart into their seconds, as they are read: the last one has what is left."""
    deviations = []
    for start in range(0, len(lead), 4 * FS):
        window = lead[start : start + 4 * FS].astype(float)
        for second in np.array_split(window, max(1, round(len(window) / FS))):
            values = [v for v in second if not np.isnan(v)]
            deviations += [np.std(values)] if values else []
    return max(np.median(deviations), 0.02) if deviations else 0.02


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("scale", ["mv", "relative"])
def test_errors_against_a_loop(runs, archive, name, scale):
    model = load_reconstructor(runs[name], archive)
    rows = [62, 3, 60, 61]
    found = reconstruct(model, archive, rows, scale=scale, batch_size=3)
    assert found.rows.tolist() == rows
    assert found.scale == scale
    for k, row in enumerate(rows):
        error, by_lead = slow_errors(model, archive, row), []
        for lead in range(12):
            values = [e for e in error[lead] if not np.isnan(e)]
            size = np.sqrt(np.mean(np.square(values))) if values else np.nan
            spread = amplitude(archive.read(row)[lead]) if scale == "relative" else 1.0
            by_lead.append(size / spread)
            np.testing.assert_allclose(
                error_map(model, archive, row, scale=scale)[lead], error[lead] / spread, rtol=1e-3, atol=1e-5
            )
        np.testing.assert_allclose(found.by_lead[k], by_lead, rtol=1e-4)
        recorded = [e for e in by_lead if not np.isnan(e)]
        assert found.score[k] == pytest.approx(np.sqrt(np.mean(np.square(recorded))), rel=1e-4)


@pytest.mark.parametrize("scale", ["none", "record", "lead"])
def test_leads_that_were_not_shown_are_not_judged(runs, archive, scale):
    whole = load_reconstructor(runs["plain"], archive)
    form = replace(whole.preprocessing, shown=("I", "II"), scale=scale)
    model = Reconstructor(whole.method, form)
    found = reconstruct(model, archive, [3], scale="mv")
    assert np.isfinite(found.by_lead).tolist() == [[True, True, *[False] * 10]]
    only = archive.read(3) * np.array(form.is_shown())[:, None]
    alone = Reconstructor(whole.method, replace(form, shown=None)).predict(only[None, :, : 4 * FS])
    np.testing.assert_allclose(model.predict(archive.read(3)[None, :, : 4 * FS]), alone, rtol=1e-5, atol=1e-6)
    assert np.isnan(error_map(model, archive, 3)[2:]).all()


@pytest.mark.parametrize("name", list(RECIPES))
def test_units_and_weights_come_back(runs, archive, name):
    """The prediction in mV, scaled as the strip is, is the method's own; the weights are the run's last ones."""
    from ssl_ecg.methods.unseen import predict_strips

    model = load_reconstructor(runs[name], archive)
    x = np.nan_to_num(np.stack([archive.read_window(row, 0, 200) for row in (0, 61)]))
    scaled = scale_strips(torch.from_numpy(x), RECIPES[name][2])
    with torch.no_grad():
        expected = predict_strips(model.method, scaled)
    mode = RECIPES[name][2]
    predicted = model.predict(x)
    for b in range(2):
        present = archive.lead_mask((0, 61)[b])
        offset = x[b].mean(axis=1, keepdims=True) if mode == "lead" else 0
        if mode == "record":
            size = np.sqrt(np.square(x[b][present]).mean())
        else:
            size = x[b].std(axis=1, keepdims=True) if mode == "lead" else 1.0
        np.testing.assert_allclose(predicted[b][present], (expected[b].numpy() * size + offset)[present], atol=1e-4)
    state = torch.load(runs[name] / "last.ckpt", weights_only=True)["state_dict"]
    for key, value in model.method.state_dict().items():
        assert torch.equal(value, state[f"method.{key}"])
    assert not model.method.training


def test_a_trained_autoencoder_finds_the_noise(trained, archive):
    table = reconstruction_table(trained, archive, reference=np.arange(60), scale="mv")
    assert table["anomaly_score"].idxmax() == 60
    assert table["percentile"][60] == 100
    reasons = reconstruction_reasons(trained, archive, 60, scale="mv")
    assert reasons.how == "reconstruction"
    assert reasons.top_leads(1)[0][0] == STANDARD_LEADS[9]
    start, end, _ = reasons.top_spans(1)[0]
    assert (round(start), round(end)) == (6, 8)


def test_reasons_against_a_loop(trained, archive):
    reasons = reconstruction_reasons(trained, archive, 61, segment=2.0)
    squared = error_map(trained, archive, 61).astype(float) ** 2
    leads = [k for k in range(12) if k != 7]
    assert reasons.leads == tuple(STANDARD_LEADS[k] for k in leads)
    pieces = np.zeros(reasons.values.shape)
    for i, lead in enumerate(leads):
        for k, (start, end) in enumerate(reasons.seconds):
            for value in squared[lead, round(start * FS) : round(end * FS)]:
                pieces[i, k] += 0 if np.isnan(value) else value
    np.testing.assert_allclose(reasons.values, pieces / pieces.sum(), rtol=1e-4)


def test_table(trained, archive):
    table = reconstruction_table(trained, archive, operating=OperatingPoint("budget", 50))
    assert list(table.columns) == [
        "record_id", "corpus", "patient_id", "row", "anomaly_score", "percentile", "p_value", "cluster", "flagged",
        "nearest",
    ]  # fmt: skip
    scores = reconstruct(trained, archive).score
    np.testing.assert_allclose(table["anomaly_score"], scores)
    expected = [100 * sum(other < score for other in scores) / len(scores) for score in scores]
    np.testing.assert_allclose(table["percentile"], expected)
    assert sorted(np.flatnonzero(table["flagged"])) == sorted(np.argsort(-scores)[:3])
    assert table["p_value"].isna().all()
    assert (table["cluster"] == -1).all()
    assert table["nearest"].map(len).max() == 0
    above = reconstruction_table(trained, archive, archive, OperatingPoint("quantile", 0.9))
    assert (above["flagged"] == (scores > np.quantile(scores, 0.9, method="higher"))).all()
    with pytest.raises(SignalError, match="conformal"):
        reconstruction_table(trained, archive, operating=OperatingPoint("conformal", 0.05))
    for rows in ([63], [], np.ones(5, bool)):
        with pytest.raises(SignalError, match="row"):
            reconstruction_table(trained, archive, rows)


def test_what_has_no_decoder_is_refused(runs, archive, tmp_path):
    released = runs["masked"] / "encoder"
    shutil.copytree(released, tmp_path / "released")
    with pytest.raises(CheckpointError, match=r"without its decoder.*--recipe autoencoder"):
        reconstruct(tmp_path / "released", archive)
    simclr = {"encoder": CONV, "method": {"name": "simclr"}, "data": {"seconds": 4}, "train": recipe("plain")["train"]}
    run = pretrain(simclr, archive, tmp_path / "simclr", progress=False)
    with pytest.raises(CheckpointError, match=r"simclr, which reconstructs nothing.*--recipe autoencoder"):
        reconstruct(run, archive)
    assert reconstruct(released, archive, [0]).score[0] > 0  # the decoder lies beside it
    with pytest.raises(SignalError, match="rows"):
        reconstruct(runs["plain"], archive, [63])
    with pytest.raises(SignalError, match="choose mv or relative"):
        reconstruct(runs["plain"], archive, scale="volts")
    slower = prepare(simulate_records(1, seed=0), tmp_path / "a", fs=100, band=None, workers=1, progress=False)
    with pytest.raises(CheckpointError, match="--fs 50"):
        reconstruct(runs["plain"], slower)
