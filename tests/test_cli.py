"""The command line: what it takes, what it refuses and how, and with which status it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from ssl_ecg import Archive, prepare
from ssl_ecg.cli import build_parser, run
from ssl_ecg.commands import recipe_files
from ssl_ecg.commands.archives import corpus_options, parse_band
from ssl_ecg.commands.arguments import folds
from ssl_ecg.data.record import Record
from ssl_ecg.errors import SSLECGError
from ssl_ecg.leads import STANDARD_LEADS

TINY = ("--set", "train.steps=2", "--set", "train.batch_size=4", "--set", "encoder.widths=[4,8]", "--quiet")


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    records = [
        Record(rng.normal(size=(12, 1000)).astype(np.float32), 100, STANDARD_LEADS, f"r{k}", f"p{k}") for k in range(12)
    ]
    out = tmp_path_factory.mktemp("cli") / "archive"
    prepare(records, out, workers=1, progress=False)
    return out


@pytest.fixture
def fails(capsys):
    """Run a command that must fail with status 2 and one line; give that line."""

    def check(*arguments: object) -> str:
        assert run([str(a) for a in arguments]) == 2
        out, err = capsys.readouterr()
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("ssl-ecg: error: ")
        assert "; " in lines[0]
        assert out == ""
        return lines[0]

    return check


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("bogus", "invalid choice: 'bogus'"),
        ("prepare", "required: source, --out; see ssl-ecg prepare --help"),
        ("prepare x --out y --workers 0", "'0' is not a whole number of at least 1"),
        ("embed a --out b", "one of the arguments --checkpoint --random --expert is required"),
        ("embed a --out b --checkpoint c --random d", "not allowed with"),
        ("embed a --out b --checkpoint c --batch-size -1", "of at least 1"),
        ("probe a --out b --task t --seed -1", "of at least 0"),
        ("probe a --out b --task t --draws 0", "of at least 1"),
        ("probe a --out b --task t --train-folds 8-1", "is not a list of folds such as 1-8"),
        ("probe a --out b --task t --train-folds 1-99999999999", "is not a list of folds"),
        ("map a --out b.png --colour red", "invalid choice: 'red'"),
        ("pretrain simclr --data a --out b --sett c", "unrecognized arguments: --sett c"),
        ("recipes", "required: ACTION"),
        ("recipes copy simclr", "required: target"),
    ],
)
def test_what_cannot_be_parsed_is_one_line(fails, line: str, hint: str) -> None:
    assert hint in fails(*line.split())


def test_without_a_command_the_help_is_shown(capsys) -> None:
    assert run([]) == 2
    assert "typical line" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_end_well(option: str) -> None:
    with pytest.raises(SystemExit) as end:
        run([option])
    assert end.value.code == 0


def test_every_command_has_its_function() -> None:
    names = ["download", "prepare", "pretrain", "embed", "probe", "screen", "map", "demo"]
    minimal = {
        "download": "ptbxl", "prepare": "a --out b", "pretrain": "r --data a --out b",
        "embed": "a --checkpoint c --out d", "probe": "a --task t --out b", "screen": "a --out b",
        "map": "a --out b.png", "demo": "",
    }  # fmt: skip
    for name in names:
        options = build_parser().parse_args([name, *minimal[name].split()])
        assert callable(options.call)


@pytest.mark.parametrize(("text", "expected"), [("3", (3,)), ("1-3,9", (1, 2, 3, 9)), ("7-7", (7,)), ("2,1", (2, 1))])
def test_folds(text: str, expected: tuple[int, ...]) -> None:
    assert folds(text) == expected


def test_options_of_a_corpus() -> None:
    assert corpus_options(["rate=500", "leads=[I, II]", "name=a=b"]) == {
        "rate": 500, "leads": ["I", "II"], "name": "a=b",
    }  # fmt: skip
    for wrong in ("rate", "=3", "rate=[1"):
        with pytest.raises(SSLECGError, match="--option"):
            corpus_options([wrong])


def test_bands() -> None:
    assert parse_band(["0.5,40"]) == parse_band(["0.5", "40"]) == (0.5, 40.0)
    assert parse_band(["None"]) is None
    for wrong in (["5"], ["a", "b"], ["1", "2", "3"]):
        with pytest.raises(SSLECGError, match="--band"):
            parse_band(wrong)


def test_paths_that_are_not_what_they_should_be(fails, tmp_path: Path, archive: Path) -> None:
    file, empty, out = tmp_path / "file", tmp_path / "empty", tmp_path / "out"
    file.write_text("x")
    empty.mkdir()
    missing = tmp_path / "missing"
    assert "does not exist" in fails("prepare", missing, "--out", out)
    assert "no readable recordings" in fails("prepare", empty, "--out", out)
    assert "is not a folder" in fails("prepare", file, "--out", out)
    assert "did you mean 'ptbxl'" in fails("prepare", "ptbx:/data", "--out", out)

    for place, problem in ((missing, "does not exist"), (empty, "is no archive"), (file, "is no archive")):
        assert problem in fails("pretrain", "demo", "--data", place, "--out", out, *TINY)
        assert problem in fails("embed", place, "--random", "demo", "--out", out)
    for place in (missing, empty, file):
        assert "no embeddings.npy" in fails("probe", place, "--task", "superclass", "--out", out)
        assert "no embeddings.npy" in fails("screen", place, "--out", out)
        assert "no embeddings.npy" in fails("map", place, "--out", tmp_path / "map.png")
    assert "no such checkpoint" in fails("embed", archive, "--checkpoint", missing, "--out", out)
    assert "holds no checkpoint" in fails("embed", archive, "--checkpoint", empty, "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file"]


def test_what_cannot_be_written(fails, tmp_path: Path, archive: Path) -> None:
    (tmp_path / "file").write_text("x")
    under = tmp_path / "file" / "out"
    assert "cannot be written" in fails("embed", archive, "--random", "demo", "--out", under, "--quiet")
    assert "cannot be made" in fails("pretrain", "demo", "--data", archive, "--out", under, *TINY)
    assert "cannot be written" in fails("recipes", "copy", "simclr", under)
    assert (tmp_path / "file").read_text() == "x"


def test_pretraining_that_cannot_start_leaves_nothing(fails, tmp_path: Path, archive: Path) -> None:
    base = ("pretrain", "demo", "--data", archive, "--out", tmp_path / "run", *TINY)
    for more, hint in [
        (("--set", "train.batch_size=99"), "set train.batch_size to 12 or less"),
        (("--set", "train.stepps=3"), "did you mean 'steps'"),
        (("--set", "train.steps=null"), "has no value"),
        (("--set", "train.log_every=0"), "train.log_every: is 0"),
        (("--set", "train.warmup=2"), "a share of the steps"),
        (("--set", "train.lr=nan"), "lr"),
        (("--set", "encoder.n_leads=2"), "--set encoder.n_leads=12"),
        (("--set", "encoder.widths=[8]"), "at least two widths"),
        (("--set", "method.temperature=0"), "method"),
        (("--set", "data.corpora=[other]"), "none of 12 records is left"),
        (("--task", "superclas"), "did you mean 'superclass'"),
        (("--task", "superclass"), "none of 12 records has a code of this task"),
        (("--set", "views.crop=2000"), "strips have"),
        (("--set", "data.partner=window"), "learns nothing from partners"),
        (("--set", "data.exclude_quality=[flatt]"), "data.exclude_quality: is"),
        (("--checkpoint", "conv1d-small", "--set", "encoder.pool=max"), "changes nothing of the encoder"),
        (("--checkpoint", "conv1d-small", "--set", "encoder.last_gamma=0"), "changes nothing of the encoder"),
        (("--checkpoint", "conv1d-small", "--set", "data.scale=lead"), "changes nothing of the encoder"),
    ]:
        assert hint in fails(*base, *more), more
    assert not (tmp_path / "run").exists()


def test_an_encoder_is_not_used_on_what_it_was_not_made_for(fails, tmp_path: Path, archive: Path) -> None:
    overrides = ("--set", "encoder.n_leads=2")
    for source, more, hint in [
        (("--checkpoint", "x"), overrides, "changes nothing of a trained encoder"),
        (("--checkpoint", "x"), ("--seed", "1"), "changes nothing of a trained encoder"),
        (("--checkpoint", "x"), ("--workers", "2"), "is for expert features"),
        (("--expert",), overrides, "changes nothing of expert features"),
        (("--expert",), ("--engine", "processes"), "is not for expert features"),
    ]:
        assert hint in fails("embed", archive, *source, "--out", tmp_path / "e", *more)
    record = Record(np.ones((2, 500), np.float32), 100, ("II", "V1"), "a")
    prepare([record], tmp_path / "two", leads="II,V1", workers=1, progress=False)
    out = ("--out", str(tmp_path / "e"), "--quiet")
    assert "encoder.n_leads=2" in fails("embed", tmp_path / "two", "--random", "demo", *out)
    assert run(["embed", str(tmp_path / "two"), "--random", "demo", *overrides, *out]) == 0
    assert np.load(tmp_path / "e" / "embeddings.npy").shape == (1, 256)


def test_recipes(fails, capsys, tmp_path: Path) -> None:
    assert run(["recipes", "list"]) == 0
    assert "pretrain/simclr " in capsys.readouterr().out
    mine = tmp_path / "mine.yaml"
    assert run(["recipes", "copy", "simclr", str(mine)]) == 0
    assert run(["recipes", "check", str(mine), "--set", "train.lr=1e-3"]) == 0
    assert "fine" in capsys.readouterr().out
    assert run(["recipes", "show", str(mine), "--set", "train.steps=77"]) == 0
    assert "steps: 77" in capsys.readouterr().out
    assert "there already" in fails("recipes", "copy", "simclr", mine)
    assert "did you mean 'steps'" in fails("recipes", "check", mine, "--set", "train.stepps=3")
    assert "did you mean 'simclr'" in fails("recipes", "show", "simcrl")
    mine.write_text("encoder: [")
    assert "not valid YAML" in fails("recipes", "check", mine)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), 130, "run the same command again to go on"),
        (OSError(28, "No space left on device", "here"), 2, "ssl-ecg: error: here: No space left on device; "),
        (SSLECGError("here", "is\nbroken", "mend it"), 2, "ssl-ecg: error: here: is broken; mend it"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_how_failures_end(monkeypatch, capsys, error: BaseException, status: int, text: str) -> None:
    def fail(options: object) -> None:
        raise error

    monkeypatch.setattr(recipe_files, "list_recipes", fail)
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)
    assert run(["recipes", "list"]) == status
    assert text in capsys.readouterr().err


def test_errors_of_the_programmer_are_not_hidden(monkeypatch) -> None:
    monkeypatch.setattr(recipe_files, "list_recipes", lambda options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(["recipes", "list"])


def test_warnings_are_one_line(monkeypatch, capsys) -> None:
    before = warnings.showwarning
    monkeypatch.setattr(recipe_files, "list_recipes", lambda options: warnings.warn("look\nhere", stacklevel=1))
    assert run(["recipes", "list"]) == 0
    assert capsys.readouterr().err == "ssl-ecg: warning: look here\n"
    assert warnings.showwarning is before


def test_a_closed_output_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(["recipes", "list"]) == 0


@pytest.mark.slow
def test_interrupted_pretraining_goes_on(tmp_path: Path, archive: Path) -> None:
    out = tmp_path / "run"
    more = ("--set", "train.steps=400", "--set", "train.checkpoint_every=1000", "--set", "train.log_every=1")
    line = [sys.executable, "-c", "from ssl_ecg.cli import main; main()", "pretrain", "demo"]
    line += ["--data", str(archive), "--out", str(out), *TINY, *more]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "log.csv").is_file() and len((out / "log.csv").read_text().splitlines()) > 5:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert "Traceback" not in err.decode()
    assert (out / "last.ckpt").is_file()
    assert not (out / "encoder").exists()
    assert subprocess.run(line, check=False, stdout=subprocess.DEVNULL).returncode == 0
    steps = [int(row.split(",")[0]) for row in (out / "log.csv").read_text().splitlines()[1:]]
    assert steps == list(range(1, 401))
    assert len(Archive(archive)) == 12


@pytest.mark.slow
def test_pretraining_on_two_processes(tmp_path: Path, archive: Path) -> None:
    """The command ends well, its losses are those of both, and what it leaves is an encoder like any other."""
    program = [sys.executable, "-c", "from ssl_ecg.cli import main; main()", "pretrain", "demo", "--data", str(archive)]
    more = ("--set", "train.log_every=1", "--set", "train.precision=float32")
    losses, environment = {}, {**os.environ, "OMP_NUM_THREADS": "1"}
    for devices in ("1", "2"):
        out = tmp_path / devices
        line = [*program, "--out", str(out), "--devices", devices, *TINY, *more]
        done = subprocess.run(line, check=False, capture_output=True, text=True, env=environment, timeout=600)
        assert done.returncode == 0, done.stderr
        rows = [row.split(",") for row in (out / "log.csv").read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == ["1", "2"]
        losses[devices] = [float(row[1]) for row in rows]
        assert run(["embed", str(archive), "--checkpoint", str(out), "--out", str(out / "z"), "--quiet"]) == 0
        assert np.isfinite(np.load(out / "z" / "embeddings.npy")).all()
    assert losses["1"] != losses["2"], "each process draws views of its own"
    refused = [*program, "--out", str(tmp_path / "x"), "--devices", "3", *TINY]
    done = subprocess.run(refused, check=False, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 2
    assert "set train.batch_size to a multiple of 3" in done.stderr
