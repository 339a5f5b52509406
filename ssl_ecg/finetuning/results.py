"""What fine-tuning leaves: a model with its reading, its predictions and its figures, and perhaps a forest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.features.hybrid import averaged_odds
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.prediction.members import predictions_name
from ssl_ecg.provenance import versions
from ssl_ecg.readings.base import Reading
from ssl_ecg.train.supervised.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.train.forest import Forest
    from ssl_ecg.train.reference import Reference
    from ssl_ecg.train.supervised.data import LabelledData
    from ssl_ecg.train.supervised.fit import Outcome
    from ssl_ecg.train.supervised.model import Supervised

FloatArray = NDArray[np.float64]
Features = Callable[[NDArray[np.int64], Sequence[str] | None], NDArray[np.float32]]
"""(rows, leads) -> expert features."""


@dataclass(frozen=True)
class Trained:
    """A model after training, and all that judging it takes.

    Attributes
    ----------
    model : Supervised
    data : LabelledData
    rows : dict
        Set ("train", "val", "test") -> rows of the archive.
    truth : float array (row, target)
        In the unit of the targets, for every row of the archive; NaN where unknown.
    read : callable
        (truth, outputs) of validation records -> Reading.
    forest : Forest, optional
    features : callable, optional
        What the forest sees.
    """

    model: Supervised
    data: LabelledData
    rows: Rows
    truth: NDArray[np.floating]
    read: Callable[[NDArray[np.floating], FloatArray], Reading]
    forest: Forest | None = None
    features: Features | None = None


@dataclass(frozen=True)
class Said:
    """What one voice, such as the network, said of the validation and test records.

    Attributes
    ----------
    reading : Reading
    raw, answers : dict
        Set -> outputs and answers (record, class).
    metrics : dict
        "validation" and "test" -> figures.
    """

    reading: Reading
    raw: dict[str, FloatArray]
    answers: dict[str, FloatArray]
    metrics: dict[str, Any]

    def figures(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return {**self.reading.about(), **self.metrics}


@dataclass(frozen=True)
class Judged:
    """A model judged with all leads or with some.

    Attributes
    ----------
    rows : dict
        Set ("val", "test") -> rows of the archive.
    embeddings : float64 array (record, dim)
        Of the validation records.
    said : dict
        "network"; with a forest also "forest", and "both", by which records are answered.
    """

    rows: Rows
    embeddings: FloatArray
    said: dict[str, Said]

    @property
    def main(self) -> Said:
        """The voice by which records are answered."""
        return self.said.get("both", self.said["network"])

    def figures(self) -> dict[str, Any]:
        """Give what metrics.json holds: the main voice, and each of two."""
        parts = {name: one.figures() for name, one in self.said.items() if name != "both"}
        return {**self.main.figures(), **({"parts": parts} if len(parts) > 1 else {})}

    def table(self, trained: Trained, classes: Sequence[str]) -> pd.DataFrame:
        """Give one row for each record of each set."""
        import pandas as pd

        tables = []
        index = trained.data.archive.index
        for name, rows in self.rows.items():
            table = index.iloc[rows][["record_id", "corpus", "patient_id", "fold"]].reset_index(drop=True)
            prefix = self.main.reading.prefix
            blocks: dict[str, NDArray[Any]] = {
                "true": trained.truth[rows], prefix: self.main.answers[name], "raw": self.main.raw[name],
                **{voice: one.answers[name] for voice, one in self.said.items() if len(self.said) > 1},
            }  # fmt: skip
            blocks.pop("both", None)
            decided = self.main.reading.decide(self.main.answers[name])
            blocks |= {} if decided is None else {"decision": decided}
            more = {f"{kind}_{c}": block[:, k] for kind, block in blocks.items() for k, c in enumerate(classes)}
            tables.append(pd.concat([table, pd.DataFrame({"row": rows, "set": name, **more})], axis=1))
        return pd.concat(tables, ignore_index=True)


def judge_model(trained: Trained, leads: Sequence[str] | None = None) -> Judged:
    """Learn the reading on the validation records, and measure on these and the test records.

    Parameters
    ----------
    trained : Trained
    leads : sequence of str, optional
        The only leads that are given; records that have none of them are left out.
    """
    from ssl_ecg.train.evaluation import predict_with_embeddings
    from ssl_ecg.train.reduced_leads import with_leads

    data = trained.data
    shown = data.leads if leads is None else leads
    there = with_leads(data.archive, shown)
    rows = {name: value[there[value]] for name, value in trained.rows.items() if name != "train"}
    found = {name: predict_with_embeddings(trained.model, data.windows(value, shown)) for name, value in rows.items()}
    network = _say(trained, rows, {name: raw for name, (raw, _) in found.items()})
    said = {"network": network}
    if trained.forest is not None and trained.features is not None:
        windows = {"seconds": data.test_seconds, "stride": data.test_stride}
        told = {
            name: trained.forest.told(trained.features(value, shown), data.archive, value, windows, shown)
            for name, value in rows.items()
        }
        both = {name: averaged_odds(network.raw[name], value) for name, value in told.items()}
        said["forest"] = _say(trained, rows, told, network)
        said["both"] = _say(trained, rows, both, network)
    return Judged(rows, found["val"][1], said)


def _say(trained: Trained, rows: Rows, raw: dict[str, FloatArray], instead: Said | None = None) -> Said:
    """Read outputs; where they are unknown, another voice answers."""
    known = {name: np.asarray(np.isfinite(value).all(axis=1)) for name, value in raw.items()}
    reading = trained.read(trained.truth[rows["val"]][known["val"]], raw["val"][known["val"]])
    answers, outputs = {}, {}
    for name, value in raw.items():
        has = known[name]
        answers[name] = reading.answer(value) if instead is None else instead.answers[name].copy()
        outputs[name] = value if instead is None else np.where(has[:, None], value, instead.raw[name])
        if instead is not None:
            answers[name][has] = reading.answer(value[has])
    metrics = {
        "validation" if name == "val" else name: reading.figures(trained.truth[rows[name]], value)
        for name, value in answers.items()
    }
    return Said(reading, outputs, answers, metrics)


def write_results(
    out: Path,
    trained: Trained,
    bound: Mapping[str, Any],
    outcome: Outcome,
    facts: Mapping[str, Any],
    origin: Mapping[str, Any],
    *,
    test_leads: Sequence[tuple[str, ...]] = (),
) -> None:
    """Judge a trained model, and write it with its predictions and figures into its run folder."""
    classes, data = tuple(facts["classes"]), trained.data
    judged = {"": judge_model(trained), **{",".join(leads): judge_model(trained, leads) for leads in test_leads}}
    _save(out, trained, bound, facts, origin, judged)
    for leads, one in judged.items():
        path = out / predictions_name(leads.split(",") if leads else ())
        predictions = one.table(trained, classes)
        write_whole(path, lambda file, table=predictions: table.to_parquet(file, index=False))  # type: ignore[misc]
    content = {
        **facts, **origin, "seed": bound["train"]["seed"], "mode": bound["train"]["mode"],
        "records": {name: len(rows) for name, rows in trained.rows.items()}, "n_trained_on": len(data.train),
        "training": outcome.to_dict(), **judged[""].figures(), "reduced_leads": {
            leads: one.figures() for leads, one in judged.items() if leads
        },
        "versions": versions(),
    }  # fmt: skip
    write_json(out / "metrics.json", content)


def _reference(trained: Trained, judged: Mapping[str, Judged]) -> Reference | None:
    """Embed training records, as many as are kept, and measure the traits of their signals."""
    from ssl_ecg.screen.base import subsample
    from ssl_ecg.train.reference import MOST, measure_reference

    train = trained.rows["train"]
    windows, val = (
        trained.data.windows(rows) for rows in (train[subsample(len(train), MOST, 0)], judged[""].rows["val"])
    )
    held_out = {leads: one.embeddings for leads, one in judged.items()}
    return measure_reference(trained.model, windows, val, held_out)


def _save(
    out: Path,
    trained: Trained,
    bound: Mapping[str, Any],
    facts: Mapping[str, Any],
    origin: Mapping[str, Any],
    judged: Mapping[str, Judged],
) -> None:
    """Write the encoder, the head with all that predicting needs, and the forest if there is one."""
    from ssl_ecg.train.checkpoint import save_encoder
    from ssl_ecg.train.classifier import save_head
    from ssl_ecg.train.forest import FOLDER
    from ssl_ecg.train.reference import FILE

    model, data, reference = trained.model, trained.data, _reference(trained, judged)
    about: dict[str, Any] = {"recipe": dict(bound), "finetuned_on": dict(facts), **origin, "versions": versions()}
    save_encoder(model.encoder, out / "encoder", architecture=bound["encoder"], card=about)
    classes, kind = tuple(facts["classes"]), {"kind": facts["kind"]} if "kind" in facts else {}
    card = {
        "classes": classes, **kind, "task": facts["task"], **_readings(judged, "network"),
        "windows": {"seconds": data.test_seconds, "stride": data.test_stride, "leads": data.leads},
        "unlike_training": None if reference is None else {
            "distance": reference.threshold(), "quantile": 0.99, "records": len(reference.points),
        },
        "validation": judged[""].said["network"].metrics["validation"]["macro"], "finetuned_on": dict(facts), **origin,
    }  # fmt: skip
    if reference is None:
        (out / "head" / FILE).unlink(missing_ok=True)
    else:
        reference.save(out / "head")
    if trained.forest is not None:
        more = {"classes": classes, **kind, **_readings(judged, "both")}
        trained.forest.save(out / FOLDER, architecture=bound["encoder"], card=more, leads=data.archive.leads)
    save_head(model.head, out / "head", arguments=bound["head"], card=card)


def _readings(judged: Mapping[str, Judged], voice: str) -> dict[str, Any]:
    """Give a voice's reading with all leads, and those with fewer, as plain numbers."""
    reduced = {leads: one.said[voice].reading.card() for leads, one in judged.items() if leads}
    return {**judged[""].said[voice].reading.card(), "reduced_leads": reduced}
