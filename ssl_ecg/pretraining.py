"""Pretraining from a recipe: the whole line from an archive to a run folder."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import RecipeError, SSLECGError
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.recipe_checks import check_kind, check_overrides
from ssl_ecg.recipes import load_recipe
from ssl_ecg.run_folder import claimed

if TYPE_CHECKING:
    from torch import nn

    from ssl_ecg.data.strips import Strips
    from ssl_ecg.preprocessing import Preprocessing


def pretrain(
    recipe: str | Path | Mapping[str, Any],
    archive: Archive | str | Path,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    overrides: Sequence[str] = (),
    task: str | None = None,
    progress: bool = True,
    devices: int = 1,
) -> Path:
    """Pretrain an encoder, without labels unless the recipe names a task in `data.task`.

    Parameters
    ----------
    recipe : str, Path or mapping
        A name such as "simclr", a YAML file, or its content.
    archive : Archive or path
        As `prepare` made it.
    out : path
        Run folder. A run that was stopped there goes on exactly where it was.
    checkpoint : path or str, optional
        Run folder, checkpoint folder or released name: pretraining goes on from its encoder, which takes the place of
        the one of the recipe. From random weights unless given.
    overrides : sequence of str
        Such as ``"train.steps=500"``.
    task : str, optional
        Name of a task; an online probe then logs its macro AUROC on the training data. It never trains the
        encoder.
    progress : bool
    devices : int
        Processes to start on this host, see `fit`. Under torchrun or srun leave it at 1 and call this in every
        process; the first writes the files, and archive and run folder are where all hosts see them.

    Returns
    -------
    Path
        The run folder: `recipe.yaml`, `log.csv`, `last.ckpt` and `encoder/` (weights and card).

    Raises
    ------
    RecipeError, ArchiveError, LabelError, CheckpointError
        As the recipe, the archive, the task or a state found in `out` demand. Nothing is written to `out` before
        all of them are known to fit.
    """
    bound = load_recipe(recipe, overrides)
    check_kind(bound, recipe, "pretraining")
    check_overrides(overrides, bound, checkpoint)
    archive = archive if isinstance(archive, Archive) else Archive(archive)
    out = Path(out)

    from ssl_ecg.methods.base import released_encoder
    from ssl_ecg.train.checkpoint import save_encoder
    from ssl_ecg.train.fit import check_settings, fit
    from ssl_ecg.train.launch import find_place
    from ssl_ecg.train.online_probe import online_probe
    from ssl_ecg.train.selection import open_strips
    from ssl_ecg.train.settle import fixed_strips, settle_norms

    method = build_method(bound, archive, checkpoint)
    strips = open_strips(archive, **bound["data"], measuring="later")
    settings = {name: value for name, value in bound["train"].items() if name != "precision"}
    check_settings(strips, devices=devices, **settings)
    first = find_place().rank == 0
    probe = online_probe(archive, strips, task) if task else None
    facts = {"archive": archive.fingerprint, "encoder": _began_with(method, checkpoint)}
    started_on = "another archive or encoder"
    with claimed(out, bound, facts, started_on=started_on, notes={"versions": versions()}, write=first):
        if bound["data"]["measures"] or bound["data"]["teacher"]:
            measuring: Any = "now" if first else "wait"
            strips = open_strips(archive, **bound["data"], progress=progress, measuring=measuring, folder=out)
        fit(method, strips, out, progress=progress, probe=probe, devices=devices, **bound["train"])  # type: ignore[arg-type]
        if first:
            encoder = released_encoder(method)
            settle_norms(encoder, fixed_strips(strips, encoder.preprocessing))  # type: ignore[arg-type]
            card = _card(bound, archive, strips, checkpoint)
            save_encoder(encoder, out / "encoder", architecture=bound["encoder"], card=card)
    return out


def build_method(recipe: dict[str, Any], archive: Archive, checkpoint: str | Path | None = None) -> nn.Module:
    """Build the encoder, the views and the method of a bound recipe; weights drawn from its seed.

    With a checkpoint the encoder is that one, and the recipe is changed to say so.
    """
    import torch

    from ssl_ecg.augment.views import build_views
    from ssl_ecg.methods.registry import METHODS
    from ssl_ecg.train.labelled import class_arguments, target_arguments

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe["train"]["seed"])
        encoder = untrained_encoder(recipe, archive) if checkpoint is None else pretrained(recipe, archive, checkpoint)
        encoder.preprocessing = replace(encoder.preprocessing, seconds=recipe["data"]["seconds"])  # type: ignore[type-var]
        arguments = {key: value for key, value in recipe["method"].items() if key != "name"}
        if "views" in recipe:
            crop, strip = recipe["views"].get("crop"), round(recipe["data"]["seconds"] * archive.fs)
            if crop is not None and crop > strip:
                remedy = "shorten the crop or set data.seconds"
                raise RecipeError("views.crop", f"is {crop} samples, and strips have {strip}", remedy)
            arguments["views"] = build_views(recipe["views"], fs=archive.fs, leads=archive.leads)
        method = METHODS[recipe["method"]["name"]]
        arguments |= class_arguments(recipe) | target_arguments(recipe, archive)
        with _named("method"):
            return method(encoder, **arguments)


def untrained_encoder(recipe: Mapping[str, Any], archive: Archive) -> nn.Module:
    """Build a recipe's encoder for an archive, with weights from torch's present state.

    Raises
    ------
    RecipeError
        If the encoder takes another number of leads than the archive has.
    """
    from ssl_ecg.models.registry import build_encoder
    from ssl_ecg.preprocessing import Preprocessing

    arguments = dict(recipe["encoder"])
    with _named("encoder"):
        encoder = build_encoder(arguments.pop("name"), **arguments)
    if encoder.n_leads != len(archive.leads):
        problem = f"takes {encoder.n_leads} leads, the archive has {len(archive.leads)}"
        raise RecipeError("encoder.n_leads", problem, f"--set encoder.n_leads={len(archive.leads)}")
    data = recipe["data"]
    encoder.preprocessing = Preprocessing(  # type: ignore[assignment]
        archive.fs, archive.leads, archive.band, data["scale"], data["seconds"], _shown(recipe, archive)
    )
    return encoder


def pretrained(recipe: dict[str, Any], archive: Archive, checkpoint: str | Path) -> nn.Module:
    """Load the encoder of a checkpoint, which takes the place of the recipe's, and see that it fits an archive.

    The recipe is changed to say so: its encoder, its scaling, and the leads that are shown, unless it names some.

    Raises
    ------
    CheckpointError
        If it is damaged, or expects another rate, other leads or another filter.
    """
    from ssl_ecg.train.checkpoint import load_encoder

    encoder = load_encoder(checkpoint)
    encoder.preprocessing.check_archive(archive)  # type: ignore[union-attr, operator]
    card: dict[str, Any] = encoder.card  # type: ignore[assignment]
    form: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    recipe["encoder"] = dict(card["architecture"])
    recipe["data"]["scale"] = form.scale
    if form.shown is not None and recipe["data"].get("leads") is None:
        recipe["data"]["leads"] = list(form.shown)
    encoder.preprocessing = replace(form, shown=_shown(recipe, archive))  # type: ignore[assignment]
    return encoder


def _shown(recipe: Mapping[str, Any], archive: Archive) -> tuple[str, ...] | None:
    """Give the only leads that a recipe shows; None for all."""
    from ssl_ecg.train.reduced_leads import choose_leads

    leads = recipe["data"].get("leads")
    chosen = archive.leads if leads is None else choose_leads(leads, archive.leads)
    return None if chosen == archive.leads else chosen


def _began_with(method: nn.Module, checkpoint: str | Path | None) -> str | None:
    """Give the fingerprint of the weights that a run begins with, if they are another run's."""
    from ssl_ecg.embedding.identity import weights_fingerprint

    return None if checkpoint is None else weights_fingerprint(method.encoder)  # type: ignore[arg-type]


@contextmanager
def _named(section: str) -> Iterator[None]:
    """Turn what a class says of impossible arguments, such as a width of zero, into an error of the recipe."""
    try:
        yield
    except SSLECGError:
        raise
    except (ValueError, TypeError, IndexError, RuntimeError, ArithmeticError) as error:
        raise RecipeError(section, f"cannot be built ({error})", "check the values of this section") from error


def random_encoder(
    recipe: str | Path | Mapping[str, Any], archive: Archive, *, overrides: Sequence[str] = (), seed: int = 0
) -> nn.Module:
    """Build a recipe's encoder without training it: the baseline of every table.

    Its batch normalisation is settled on the same strips as that of a trained one. The `recipe.yaml` of a run
    folder gives the untrained encoder of that run.
    """
    import torch

    from ssl_ecg.train.selection import open_strips
    from ssl_ecg.train.settle import fixed_strips, settle_norms

    bound = load_recipe(recipe, overrides)
    check_kind(bound, recipe, "pretraining", "fine-tuning")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = untrained_encoder(bound, archive)
    there = inspect.signature(open_strips).parameters  # a recipe of fine-tuning says more of its windows
    data = {name: value for name, value in bound["data"].items() if name in there}
    strips = open_strips(archive, **data, measuring="later")
    settle_norms(encoder, fixed_strips(strips, encoder.preprocessing))  # type: ignore[arg-type]
    return encoder


def _card(
    recipe: Mapping[str, Any], archive: Archive, strips: Strips, checkpoint: str | Path | None = None
) -> dict[str, Any]:
    """Say what the encoder was pretrained on and how, and what those have seen that it comes from."""
    from ssl_ecg.train.labelled import labels_used
    from ssl_ecg.train.taught import seen_before

    rows = np.unique(strips.record_rows)
    before = {"start": checkpoint, "teacher": recipe["data"]["teacher"]}
    return {
        "recipe": dict(recipe),
        **{name: seen_before(source) for name, source in before.items() if source is not None},
        "pretrained_on": {
            "archive": archive.fingerprint, "records": len(rows), "corpora": records_by_corpus(archive, rows),
        },
        "labels": labels_used(strips, recipe["data"]["task"]),
        "sources": archive.sources,
        "versions": versions(),
        "hardware": hardware(),
    }  # fmt: skip


def records_by_corpus(archive: Archive, rows: NDArray[np.integer]) -> dict[str, dict[str, Any]]:
    """Count the records of some rows of an archive by corpus, and name their folds, as cards say it.

    Returns
    -------
    dict
        Corpus -> ``records``, and ``folds``: in order, empty where there are none.
    """
    table = archive.table(["corpus", "fold"]).take(rows)
    found: dict[str, dict[str, Any]] = {}
    for group in table.group_by(["corpus", "fold"]).aggregate([([], "count_all")]).sort_by("corpus").to_pylist():
        one = found.setdefault(group["corpus"], {"records": 0, "folds": []})
        one["records"] += group["count_all"]
        one["folds"] = sorted({*one["folds"], group["fold"]} - {None})
    return found
