"""What fine-tuning leaves: a calibrated classifier with its thresholds, its predictions and its figures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.ensemble import predictions_name
from ssl_ecg.evaluate.calibration import CALIBRATORS, Calibrator
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, best_f1_thresholds
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.pretraining import versions
from ssl_ecg.train.supervised_rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.train.reference import Reference
    from ssl_ecg.train.supervised import Supervised
    from ssl_ecg.train.supervised_data import LabelledData
    from ssl_ecg.train.supervised_fit import Outcome

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A classifier judged with all leads or with some.

    Attributes
    ----------
    calibration : Calibrator or None
    thresholds : float64 array (class,)
        For calibrated probabilities.
    rows : dict
        Set ("val", "test") -> rows of the archive.
    raw, proba : dict
        Set -> probabilities (record, class), before and after calibration.
    embeddings : float64 array (record, dim)
        Of the validation records.
    metrics : dict
        "validation" and "test" -> figures.
    """

    calibration: Calibrator | None
    thresholds: FloatArray
    rows: Rows
    raw: dict[str, FloatArray]
    proba: dict[str, FloatArray]
    embeddings: FloatArray
    metrics: dict[str, Any]

    def card(self) -> dict[str, Any]:
        """Give what predicting needs as plain numbers."""
        calibration = None if self.calibration is None else self.calibration.to_dict()
        return {"thresholds": self.thresholds, "calibration": calibration}

    def table(self, data: LabelledData, classes: Sequence[str]) -> pd.DataFrame:
        """Give one row for each record of each set."""
        import pandas as pd

        tables = []
        for name, p in self.proba.items():
            rows = self.rows[name]
            table = data.archive.index.iloc[rows][["record_id", "corpus", "patient_id", "fold"]].reset_index(drop=True)
            blocks: dict[str, NDArray[Any]] = {"true": data.targets[rows], "proba": p, "raw": self.raw[name]}
            more = {f"{kind}_{c}": block[:, k] for kind, block in blocks.items() for k, c in enumerate(classes)}
            tables.append(table.assign(row=rows, set=name, **more))
        return pd.concat(tables, ignore_index=True)


def judge_classifier(
    model: Supervised,
    data: LabelledData,
    chosen: Rows,
    classes: Sequence[str],
    *,
    calibration: str = "none",
    leads: Sequence[str] | None = None,
) -> Judged:
    """Calibrate and choose thresholds on the validation records, and measure on these and the test records.

    Parameters
    ----------
    model : Supervised
    data : LabelledData
    chosen : dict
        Rows of "val" and perhaps "test".
    classes : sequence of str
    calibration : {"temperature", "isotonic", "none"}
    leads : sequence of str, optional
        The only leads that are given; records that have none of them are left out.
    """
    from ssl_ecg.train.evaluation import judge, predict_with_embeddings
    from ssl_ecg.train.reduced_leads import with_leads

    there = with_leads(data.archive, leads)
    rows = {name: value[there[value]] for name, value in chosen.items() if name != "train"}
    found = {name: predict_with_embeddings(model, data.windows(value, leads)) for name, value in rows.items()}
    raw = {name: p for name, (p, _) in found.items()}
    truth = data.targets[rows["val"]]
    calibrator = calibrate(calibration, truth, raw["val"])
    proba = raw if calibrator is None else {name: calibrator.transform(p) for name, p in raw.items()}
    thresholds = best_f1_thresholds(truth, proba["val"])
    metrics = {name: judge(data.targets[rows[name]], p, thresholds, tuple(classes)) for name, p in proba.items()}
    named = {"validation" if name == "val" else name: value for name, value in metrics.items()}
    return Judged(calibrator, thresholds, rows, raw, proba, found["val"][1], named)


def calibrate(kind: str, truth: NDArray[np.floating], proba: FloatArray) -> Calibrator | None:
    """Fit a calibrator; classes that are too rare for it keep their probabilities."""
    if kind == "none":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedClassWarning)  # said in metrics.json
        return CALIBRATORS[kind]().fit(truth, proba)


def write_results(
    out: Path,
    model: Supervised,
    bound: Mapping[str, Any],
    data: LabelledData,
    chosen: Rows,
    outcome: Outcome,
    facts: Mapping[str, Any],
    origin: Mapping[str, Any],
    *,
    test_leads: Sequence[tuple[str, ...]] = (),
) -> None:
    """Judge a trained classifier, and write it with its predictions and figures into its run folder."""
    classes, kind = tuple(facts["classes"]), str(bound["head"]["calibration"])
    whole = judge_classifier(model, data, chosen, classes, calibration=kind)
    reduced = {
        ",".join(leads): judge_classifier(model, data, chosen, classes, calibration=kind, leads=leads)
        for leads in test_leads
    }
    reference = _reference(model, data, chosen["train"], {"": whole, **reduced})
    _save(out, model, bound, data, facts, origin, {"": whole, **reduced}, reference)
    for leads, judged in {"": whole, **reduced}.items():
        path = out / predictions_name(leads.split(",") if leads else ())
        predictions = judged.table(data, classes)
        write_whole(path, lambda file, table=predictions: table.to_parquet(file, index=False))  # type: ignore[misc]
    content = {
        **facts, **origin, "seed": bound["train"]["seed"], "mode": bound["train"]["mode"],
        "records": {name: len(rows) for name, rows in chosen.items()}, "n_trained_on": len(data.train),
        "training": asdict(outcome), **_figures(whole, classes), "reduced_leads": {
            leads: _figures(judged, classes) for leads, judged in reduced.items()
        },
        "versions": versions(),
    }  # fmt: skip
    write_json(out / "metrics.json", content)


def _figures(judged: Judged, classes: Sequence[str]) -> dict[str, Any]:
    calibrator = judged.calibration
    about = {"kind": "none"} if calibrator is None else {
        "kind": calibrator.kind, "not_calibrated": [classes[k] for k in calibrator.identity_],
    }  # fmt: skip
    thresholds = dict(zip(classes, judged.thresholds.tolist(), strict=True))
    return {"thresholds": thresholds, "calibration": about, **judged.metrics}


def _reference(
    model: Supervised, data: LabelledData, train: NDArray[np.int64], judged: Mapping[str, Judged]
) -> Reference | None:
    """Embed training records, as many as are kept."""
    from ssl_ecg.screen.base import subsample
    from ssl_ecg.train.evaluation import predict_with_embeddings
    from ssl_ecg.train.reference import MOST, make_reference

    rows = train[subsample(len(train), MOST, 0)]
    _, embeddings = predict_with_embeddings(model, data.windows(rows))
    return make_reference(embeddings, {leads: one.embeddings for leads, one in judged.items()})


def _save(
    out: Path,
    model: Supervised,
    bound: Mapping[str, Any],
    data: LabelledData,
    facts: Mapping[str, Any],
    origin: Mapping[str, Any],
    judged: Mapping[str, Judged],
    reference: Reference | None,
) -> None:
    """Write the encoder, and the head with all that predicting needs."""
    from ssl_ecg.train.checkpoint import save_encoder
    from ssl_ecg.train.classifier import save_head
    from ssl_ecg.train.reference import FILE

    about: dict[str, Any] = {"recipe": dict(bound), "finetuned_on": dict(facts), **origin, "versions": versions()}
    save_encoder(model.encoder, out / "encoder", architecture=bound["encoder"], card=about)
    card = {
        "classes": tuple(facts["classes"]), "task": facts["task"], **judged[""].card(),
        "reduced_leads": {leads: one.card() for leads, one in judged.items() if leads},
        "windows": {"seconds": data.test_seconds, "stride": data.test_stride},
        "unlike_training": None if reference is None else {
            "distance": reference.threshold(), "quantile": 0.99, "records": len(reference.points),
        },
        "validation": judged[""].metrics["validation"]["macro"], "finetuned_on": dict(facts), **origin,
    }  # fmt: skip
    if reference is None:
        (out / "head" / FILE).unlink(missing_ok=True)
    else:
        reference.save(out / "head")
    save_head(model.head, out / "head", arguments=bound["head"], card=card)
