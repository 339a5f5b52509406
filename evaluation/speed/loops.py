"""Whole training loops, ours and those of others, each giving strips per second without its start-up."""

from __future__ import annotations

import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import irfft, rfft
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ssl_ecg import Archive
from ssl_ecg.pretraining import build_method, untrained_encoder
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.fit import fit
from ssl_ecg.train.monitor import log_curves
from ssl_ecg.train.selection import open_strips

SIZE = 32
"""Batch of the loops that train a ResNet-34."""


class Clock:
    """Notes when each step begins."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def tick(self) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())

    def rate(self, size: int) -> float:
        """Give strips per second by the median step, the first left out."""
        return float(size / np.median(np.diff(self.times[1:])))


def pretraining_loop(archive: Archive, steps: int) -> float:
    """Our SimCLR, as the recipe says."""
    bound = load_recipe("simclr", ["train.precision=float32"])
    method = build_method(bound, archive)
    changes = {"steps": steps, "log_every": 2, "monitor_every": 10**6, "checkpoint_every": 10**6}
    with tempfile.TemporaryDirectory() as folder:
        strips = open_strips(archive, **bound["data"])
        fit(method, strips, folder, progress=False, **{**bound["train"], **changes})
        return float(np.median(log_curves(Path(folder) / "log.csv")["strips_per_s"][1:]))


class OneByOne(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Two views of a record at a time, by the same changes as the recipe's, in NumPy; the records lie in memory."""

    def __init__(self, signals: np.ndarray, crop: int) -> None:
        self.signals, self.crop, self.rng = signals, crop, np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.signals)

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._view(self.signals[k]), self._view(self.signals[k])

    def _view(self, record: np.ndarray) -> np.ndarray:
        rng, n = self.rng, self.crop
        start = rng.integers(record.shape[1] - n + 1)
        x = record[:, start : start + n] * np.float32(1.1 ** rng.uniform(-1, 1))
        if rng.random() < 0.5:
            x = x * (rng.random((len(x), 1)) > 0.4)
        if rng.random() < 0.5:
            x = x + self._noise(x.shape, 0.05, 0.5) * rng.uniform(0, 0.1)
        if rng.random() < 0.5:
            x = x + self._noise(x.shape, 1.0, 45.0) * rng.uniform(0, 0.04)
        if rng.random() < 0.5:
            width = int(0.3 * n)
            at = rng.integers(n - width + 1)
            x = x.copy()
            x[:, at : at + width] = 0
        return np.asarray(x, np.float32)

    def _noise(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
        """Noise of a band, with standard deviation 1."""
        length = 1024  # the slowest wander does not fit into a crop
        spectrum = rfft(self.rng.standard_normal((shape[0], length)))
        frequency = np.fft.rfftfreq(length, 1 / 100)
        spectrum[:, (frequency < low) | (frequency > high)] = 0
        noise = irfft(spectrum, length)[:, : shape[1]]
        return noise / max(float(noise.std()), 1e-6)


def per_record_loop(archive: Archive, steps: int) -> float:
    """SimCLR as with lightly for images: a data set that augments record by record, its loss and projector."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead

    bound = load_recipe("simclr")
    size, clock = bound["train"]["batch_size"], Clock()
    encoder = untrained_encoder(bound, archive)
    model = nn.Sequential(encoder, SimCLRProjectionHead(int(encoder.dim), 512, 128))
    criterion, optimiser = NTXentLoss(temperature=0.1), torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = DataLoader(OneByOne(in_memory(archive), bound["views"]["crop"]), size, shuffle=True, drop_last=True)
    while len(clock.times) < steps:
        for first, second in loader:
            clock.tick()
            a, b = model(torch.cat([first, second])).chunk(2)
            optimiser.zero_grad()
            criterion(a, b).backward()
            nn.utils.clip_grad_norm_(model.parameters(), bound["train"]["clip"])
            optimiser.step()
    return clock.rate(size)


def finetuning_loop(archive: Archive, steps: int) -> float:
    """Our supervised training of a ResNet-34 in float32."""
    from ssl_ecg.models.resnet import ResNet34
    from ssl_ecg.train.heads import Head
    from ssl_ecg.train.losses.classes import BCE
    from ssl_ecg.train.supervised.data import open_labelled
    from ssl_ecg.train.supervised.fit import fit_supervised
    from ssl_ecg.train.supervised.model import Supervised

    clock = Clock()

    class Timed(Supervised):
        def loss(self, batch: Any) -> torch.Tensor:
            clock.tick()
            return super().loss(batch)

    labels, known = archive.labels("superclass")
    targets = np.where(known[:, None], labels, np.nan).astype(np.float32)
    data = open_labelled(archive, targets, np.flatnonzero(known), seconds=10)
    encoder = ResNet34()
    model = Timed(encoder, Head(encoder.dim, 5), BCE())
    with tempfile.TemporaryDirectory() as folder:
        fit_supervised(
            model, data.train, folder, lambda judged: 0.5, steps=steps, batch_size=SIZE, precision="float32",
            validate_every=10**6, checkpoint_every=10**6, progress=False,
        )  # fmt: skip
    return clock.rate(SIZE)


def torch_ecg_loop(archive: Archive, steps: int) -> float:
    """torch_ecg's trainer on its ResNet-34 with our kernel lengths; the records lie in memory."""
    from torch_ecg.components.trainer import BaseTrainer
    from torch_ecg.model_configs import ECG_CRNN_CONFIG, resnet_vanilla_34
    from torch_ecg.models import ECG_CRNN

    labels, known = archive.labels("superclass")
    signals = torch.from_numpy(in_memory(archive)[known])
    records = torch.utils.data.TensorDataset(signals, torch.from_numpy(labels[known]))
    records = torch.utils.data.Subset(records, range(min(len(records), steps * SIZE)))
    clock = Clock()

    class Trainer(BaseTrainer):
        batch_dim = 0
        extra_required_train_config_fields: list[str] = []  # noqa: RUF012

        def _setup_dataloaders(self, train_dataset: Any = None, val_dataset: Any = None) -> None:
            self.train_loader = DataLoader(records, SIZE, shuffle=True, drop_last=True)

        def run_one_step(self, *data: torch.Tensor) -> tuple[torch.Tensor, ...]:
            clock.tick()
            return self.model(data[0]), data[1]

        def evaluate(self, data_loader: Any) -> dict[str, float]:
            return {}

    config = deepcopy(ECG_CRNN_CONFIG)
    config.cnn.name, config.rnn.name, config.attn.name = "resnet_vanilla_34", "none", "none"
    config.cnn.resnet_vanilla_34 = deepcopy(resnet_vanilla_34)
    config.cnn.resnet_vanilla_34.filter_lengths, config.cnn.resnet_vanilla_34.stem.filter_lengths = 7, 15
    classes = [str(k) for k in range(labels.shape[1])]
    model = ECG_CRNN(classes=classes, n_leads=signals.shape[1], config=config)
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "classes": classes, "n_epochs": 1, "batch_size": SIZE, "log_step": 20, "optimizer": "adamw",
            "lr_scheduler": "none", "learning_rate": 1e-4, "loss": "BCEWithLogitsLoss", "flooding_level": 0,
            "checkpoints": folder, "model_dir": folder, "log_dir": folder, "keep_checkpoint_max": 0, "monitor": None,
            "early_stopping": None, "fs": 100,
        }  # fmt: skip
        trainer = Trainer(model, Dataset, config, options)
        trainer.train()
    return clock.rate(SIZE)


def in_memory(archive: Archive) -> np.ndarray:
    """Read all records; float32 (record, lead, time) in mV."""
    return np.stack([np.nan_to_num(archive.read(i)) for i in range(len(archive))]).astype(np.float32)
