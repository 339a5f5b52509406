"""Which strips a batch holds: every strip once in a pass, no other process's shards, the same after a resume."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import ArchiveError, RecipeError
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.order import ShardOrder, make_order, own_shards
from ssl_ecg.train.settle import fixed_strips
from ssl_ecg.train.stream import BatchStream


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Seven shards of six records and one of three."""
    records = [Record(np.full((1, 300), k / 100, np.float32), 100, ("V1",), f"r{k}") for k in range(45)]
    out = tmp_path_factory.mktemp("order") / "archive"
    return prepare(records, out, leads="V1", band=None, shard_records=6, progress=False)


def test_shards_are_dealt_evenly_and_whole(archive: Archive) -> None:
    strips = Strips(archive, 2)
    parts = [np.concatenate(own_shards(strips, rank=rank, world=3)) for rank in range(3)]
    assert sorted(np.concatenate(parts)) == list(range(45))
    assert sorted(len(part) for part in parts) == [12, 15, 18]
    shards = [set(archive.shard_numbers[strips.record_rows[part]]) for part in parts]
    assert not shards[0] & shards[1]
    assert not (shards[0] | shards[1]) & shards[2]


def test_grids_and_choices_of_records_keep_to_their_shards(archive: Archive) -> None:
    strips = Strips(archive, 1, rows=np.arange(3, 40), crop="grid")
    for group in own_shards(strips):
        assert len({row // 6 for row in strips.record_rows[group]}) == 1
    assert sum(map(len, own_shards(strips))) == len(strips) == 37 * 3


def test_other_shards_are_never_read(archive: Archive, tmp_path: Path) -> None:
    """The first process does not notice that the files of the second are missing."""
    copy = tmp_path / "copy"
    (copy / "shards").mkdir(parents=True)
    for file in archive.path.glob("*.*"):
        (copy / file.name).write_bytes(file.read_bytes())
    mine = {row // 6 for group in own_shards(Strips(archive, 2), world=2) for row in group}
    for file in (archive.path / "shards").iterdir():
        if int(file.stem) in mine:
            (copy / "shards" / file.name).write_bytes(file.read_bytes())
    assert 0 < len(list((copy / "shards").iterdir())) < 8
    strips = Strips(Archive(copy), 2)
    streams = [
        BatchStream(strips, batch_size=8, seed=0, steps=30, rank=rank, world=2, sampling="shards") for rank in (0, 1)
    ]
    seen = {int(row) // 6 for batch in streams[0] for row in batch["row"]}
    assert seen == mine
    with pytest.raises(ArchiveError, match="missing"):
        list(streams[1])
    assert len(fixed_strips(strips, Preprocessing(), sampling="shards", world=2).signal) == sum(
        len(group) for group in own_shards(strips, world=2)
    )
    with pytest.raises(ArchiveError, match="missing"):
        fixed_strips(strips, Preprocessing())


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Eight shards of five records; each patient has records in several of them."""
    rng = np.random.default_rng(0)
    records = [
        Record(rng.normal(size=(1, 400)).astype(np.float32), 100, ("V1",), f"r{k}", patient_id=f"p{k % 8}")
        for k in range(40)
    ]
    out = tmp_path_factory.mktemp("patients") / "archive"
    return prepare(records, out, leads="V1", band=None, shard_records=5, progress=False)


def test_partners_come_from_the_shards_of_the_process(patients: Archive) -> None:
    strips = Strips(patients, 2, partner="patient")
    for rank in (0, 1):
        mine = {*strips.record_rows[np.concatenate(own_shards(strips, rank=rank, world=2))].tolist()}
        stream = BatchStream(strips, batch_size=8, seed=0, steps=30, rank=rank, world=2, sampling="shards")
        drawn: dict[int, set[int]] = {}
        for batch in stream:
            for row, partner in zip(batch["row"].tolist(), batch["partner_row"].tolist(), strict=True):
                drawn.setdefault(row, set()).add(partner)
        assert drawn.keys() == mine
        for row, partners in drawn.items():
            others = {k for k in mine if patients.patients[k] == patients.patients[row]} - {row}
            assert partners <= (others or {row})
        assert any(row not in partners for row, partners in drawn.items()), "some have a partner there"
    alone = BatchStream(strips, batch_size=8, seed=0, steps=30, sampling="shards")
    assert alone.strips is strips, "one process may take any"


SCRIPT = """
import os, sys
from ssl_ecg.data.archive import Archive
from ssl_ecg.pretraining import build_method
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.fit import fit
from ssl_ecg.train.selection import open_strips

steps = Archive.steps

def noted(self, row, start, length):
    with open(f"{sys.argv[2]}-read-by-{os.environ.get('RANK')}", "a") as file:
        file.write(f"{self.shard_numbers[row]}\\n")
    return steps(self, row, start, length)

Archive.steps = noted
RECIPE = {
    "encoder": {"name": "conv1d", "n_leads": 1, "widths": [4, 8]},
    "views": {"crop": 100, "transforms": ["gain"]},
    "method": {"name": "clocs", "hidden_dim": 8, "out_dim": 4},
    "data": {"seconds": 2, "partner": "patient"},
}

if __name__ == "__main__":
    bound, archive = load_recipe(RECIPE), Archive(sys.argv[1])
    strips = open_strips(archive, **bound["data"])
    settings = {"steps": 10, "batch_size": 8, "sampling": "shards", "monitor_every": 5, "precision": "float32"}
    fit(build_method(bound, archive, None), strips, sys.argv[2], devices=2, progress=False, **settings)
"""


@pytest.mark.slow
def test_a_run_of_two_processes_reads_no_shard_twice(patients: Archive, tmp_path: Path) -> None:
    """Batches, partners of the same patient, and the strips that the first process watches."""
    (tmp_path / "run.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "run.py"), str(patients.path), str(tmp_path / "run")]
    root = Path(__file__).parents[2]
    subprocess.run(command, check=True, timeout=600, env={**os.environ, "PYTHONPATH": str(root)})
    assert (tmp_path / "run" / "last.ckpt").is_file()
    read = [{*(tmp_path / f"run-read-by-{rank}").read_text().split()} for rank in (0, 1)]
    assert len(read[0]) == len(read[1]) == 4
    assert not read[0] & read[1]
    assert not (tmp_path / "run-read-by-None").exists()


def test_every_pass_sees_every_strip_once_a_few_shards_at_a_time() -> None:
    groups = np.split(np.arange(100), 10)
    order = ShardOrder(groups, batch_size=10, seed=1, at_once=2)
    passes = [[order.rows(10 * number + step) for step in range(10)] for number in range(3)]
    for batches in passes:
        assert sorted(row for batch in batches for row in batch) == list(range(100))
        for first in range(0, 10, 2):  # two batches empty two shards
            assert len({row // 10 for row in batches[first] + batches[first + 1]}) == 2
    assert passes[0] != passes[1]
    assert any(len({row // 10 for row in batch}) == 2 for batch in passes[0])


@pytest.mark.parametrize("sampling", ["strips", "shards"])
def test_a_batch_follows_from_seed_step_and_process(sampling: str, archive: Archive) -> None:
    strips = Strips(archive, 1)
    options = {"batch_size": 6, "seed": 4, "rank": 1, "world": 2, "sampling": sampling}
    whole = list(BatchStream(strips, steps=25, **options))
    late = list(BatchStream(strips, steps=25, start=13, **options))
    for a, b in zip(whole[13:], late, strict=True):
        assert a["row"].tolist() == b["row"].tolist()
        assert a["start"].tolist() == b["start"].tolist()
    other = BatchStream(strips, steps=25, **{**options, "rank": 0})
    assert all(len(other.rows(step)) == 3 for step in range(25))
    assert not set(other.rows(3)) & set(whole[3]["row"].tolist())


def test_what_cannot_be_is_refused(archive: Archive) -> None:
    strips = Strips(archive, 2)
    with pytest.raises(RecipeError, match="multiple of 2"):
        make_order(strips, "strips", batch_size=9, seed=0, rank=0, world=2)
    with pytest.raises(RecipeError, match="8 shards for 9 processes"):
        make_order(strips, "shards", batch_size=9, seed=0, rank=0, world=9)
    with pytest.raises(ArchiveError, match="fewer than a batch"):
        make_order(strips, "shards", batch_size=46, seed=0, rank=0, world=1)
    with pytest.raises(ArchiveError, match="its part of a batch has 15"):
        make_order(strips, "shards", batch_size=45, seed=0, rank=2, world=3)
