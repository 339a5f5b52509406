from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.train.monitor import effective_rank, normalised_std, read_log
from ssl_ecg.train.precision import pays_bfloat16, resolve_precision


def test_effective_rank_of_known_spectra() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(200, 6)).Q
    basis = torch.linalg.qr(basis - basis.mean(0)).Q
    for sizes in ([1, 1, 1], [4, 2, 1, 1], [1]):
        directions = torch.linalg.qr(torch.randn(8, len(sizes))).Q.T
        z = basis[:, : len(sizes)] @ torch.diag(torch.tensor(sizes, dtype=torch.float)) @ directions
        share = [size / sum(sizes) for size in sizes]
        assert effective_rank(z + 3) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)), rel=1e-3)


def test_std_tells_spread_from_collapse() -> None:
    torch.manual_seed(0)
    assert normalised_std(torch.randn(1000, 64)) == pytest.approx(1.0, abs=0.05)
    assert normalised_std(torch.ones(100, 64) + 1e-4 * torch.randn(100, 64)) < 1e-3


def test_a_log_cut_short_is_read_up_to_the_cut(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss,lr,strips_per_s,rank,std,probe_auroc\n10,1.0,0.1,5,,,\n20,0.9,0.1,5,3,1,\n30,0.")
    assert [row["step"] for row in read_log(path)] == ["10", "20"]
    assert read_log(tmp_path / "none.csv") == []


def test_precision() -> None:
    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    assert resolve_precision("auto", "cpu") == ("bfloat16" if pays_bfloat16("cpu") else "float32")
    assert not pays_bfloat16("mps")
