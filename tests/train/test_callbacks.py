"""What a run writes while it runs: whole or not at all, also on a full disk."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from ssl_ecg.errors import CheckpointError
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train import checkpoint
from ssl_ecg.train.callbacks import CollapseMonitor, StateSaver
from ssl_ecg.train.checkpoint import CARD, WEIGHTS, load_encoder, save_encoder
from ssl_ecg.train.launch import Place
from ssl_ecg.train.settle import FixedStrips
from ssl_ecg.train.stop import StopTogether
from ssl_ecg.train.supervised.module import Watch
from ssl_ecg.train.trainer import processes


class FakeTrainer(SimpleNamespace):
    def save_checkpoint(self, path: Path) -> None:
        path.write_bytes(b"half")
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_state_that_cannot_be_saved_leaves_the_last_one(tmp_path: Path, error: Exception) -> None:
    saver = StateSaver(tmp_path / "last.ckpt", every=1)
    saver.save(FakeTrainer(global_step=1, is_global_zero=True, error=None))
    (tmp_path / "last.ckpt").write_bytes(b"first")
    with pytest.raises(CheckpointError, match=r"cannot be written .*goes on from the last saved state"):
        saver.save(FakeTrainer(global_step=2, is_global_zero=True, error=error))
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    assert (tmp_path / "last.ckpt").read_bytes() == b"first"


@pytest.mark.parametrize(("step", "told"), [(4, 0), (29, 0), (30, 1), (200, 1)])
def test_collapse_is_told_once_running_statistics_have_followed(
    step: int, told: int, recwarn: pytest.WarningsRecorder
) -> None:
    """Before, all embeddings look alike whatever the encoder does: of this one they are the same by its weights."""
    encoder = build_encoder("conv1d", widths=[4, 8])
    for parameter in encoder.parameters():
        parameter.data.zero_()
    monitor = CollapseMonitor(FixedStrips(torch.randn(6, 12, 100), None), every=1)
    module = SimpleNamespace(method=SimpleNamespace(encoder=encoder), device=torch.device("cpu"))
    trainer = SimpleNamespace(global_step=step, max_steps=500, is_global_zero=True, loggers=[])
    monitor.on_train_batch_end(trainer, module, None, None, 0)
    assert monitor.latest["std"] < 0.01
    assert len([one for one in recwarn if "collapsing" in str(one.message)]) == told


def test_before_the_first_step_the_system_ends_a_process_of_several(tmp_path: Path) -> None:
    """It may be waiting for the others where no handler of Python's is called."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    trainer = SimpleNamespace(received_sigterm=False)
    before = [signal.getsignal(number) for number in numbers]
    for several, at_first in ((True, [signal.SIG_DFL, signal.SIG_DFL]), (False, before)):
        stop = StopTogether(StateSaver(tmp_path / "last.ckpt", every=1))
        with stop.listening(several):
            assert [signal.getsignal(number) for number in numbers] == at_first
            stop.on_train_start(trainer, None)
            assert [signal.getsignal(number) for number in numbers] == [stop._ask, stop._ask]
        assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_an_encoder_that_cannot_be_saved_leaves_the_last_one(tmp_path: Path, monkeypatch, error: Exception) -> None:
    def fail(weights: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    encoder = build_encoder("conv1d", widths=[4, 8])
    encoder.preprocessing = Preprocessing()
    architecture = {"name": "conv1d", "widths": [4, 8]}
    save_encoder(encoder, tmp_path, architecture=architecture)
    x = torch.randn(2, 12, 200)
    before = load_encoder(tmp_path)(x)
    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_encoder(encoder, tmp_path, architecture=architecture)
    torch.testing.assert_close(load_encoder(tmp_path)(x), before)
    assert sorted(p.name for p in tmp_path.iterdir()) == [CARD, WEIGHTS]


def test_a_card_that_names_other_leads_is_refused(tmp_path: Path) -> None:
    encoder = build_encoder("conv1d", widths=[4, 8])
    encoder.preprocessing = Preprocessing(leads=("II", "V1"))
    save_encoder(encoder, tmp_path, architecture={"name": "conv1d", "widths": [4, 8]})
    with pytest.raises(CheckpointError, match="12 leads in the architecture, 2 named"):
        load_encoder(tmp_path)


def test_an_encoder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    encoder = build_encoder("conv1d", widths=[4, 8])
    encoder.preprocessing = Preprocessing()
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_encoder(encoder, tmp_path / "file" / "e", architecture={"name": "conv1d", "widths": [4, 8]})


def test_half_precision_takes_half_the_space_and_changes_little(tmp_path):
    torch.manual_seed(0)
    architecture = {"name": "conv1d", "widths": [16, 32]}
    encoder = build_encoder(**architecture).eval()
    encoder.preprocessing = Preprocessing()
    for half in (False, True):
        save_encoder(encoder, tmp_path / str(half), architecture=architecture, half=half)
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("False", "True")]
    assert sizes[1] < 0.65 * sizes[0]
    x = torch.randn(4, 12, 200)
    exact, near = (load_encoder(tmp_path / name).eval()(x) for name in ("False", "True"))
    assert near.dtype == torch.float32
    assert 0 < (exact - near).abs().max() < 5e-3 * exact.abs().max()


def test_losses_of_a_saved_state_go_to_the_device_of_the_run(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "log.csv", lambda model: 0.5, SimpleNamespace(validate_every=5), SimpleNamespace())
    state = {**watch.state_dict(), "losses": torch.tensor([1.0, 2.0])}
    watch.load_state_dict(state)
    elsewhere = SimpleNamespace(device=torch.device("meta"))  # as a GPU would be
    watch.on_train_start(SimpleNamespace(is_global_zero=False, global_step=2), elsewhere)
    assert [loss.device.type for loss in watch._losses] == ["meta", "meta"]
    here = SimpleNamespace(device=torch.device("cpu"))
    watch.load_state_dict(state)
    watch.on_train_start(SimpleNamespace(is_global_zero=False, global_step=2), here)
    assert [float(loss) for loss in watch._losses] == [1.0, 2.0]


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_used_if_it_knows_float64(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert processes(Place())["accelerator"] == ("cuda" if there else "cpu")
