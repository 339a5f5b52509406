"""Every metric by its name: ``from ssl_ecg import metrics``.

All take labels (record, class) with NaN where unknown, and give NaN for a class without positives or negatives.

Examples
--------
>>> from ssl_ecg import metrics
>>> metrics.macro_auroc([[1], [0], [1]], [[0.9], [0.2], [0.7]])
1.0
"""

from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.evaluate.decisions import (
    accuracy,
    confusion,
    fbeta,
    fmax,
    gbeta,
    hamming_loss,
    specificity_at_sensitivity,
    subset_accuracy,
)
from ssl_ecg.evaluate.metrics import auroc, average_precision, f1, macro, macro_auroc, precision, recall, specificity
from ssl_ecg.evaluate.regression import mean_absolute_error, pearson, r2, spearman
from ssl_ecg.evaluate.reliability import brier, expected_calibration_error, reliability

__all__ = [
    "accuracy",
    "auroc",
    "average_precision",
    "brier",
    "challenge_score",
    "confusion",
    "expected_calibration_error",
    "f1",
    "fbeta",
    "fmax",
    "gbeta",
    "hamming_loss",
    "macro",
    "macro_auroc",
    "mean_absolute_error",
    "pearson",
    "precision",
    "r2",
    "recall",
    "reliability",
    "spearman",
    "specificity",
    "specificity_at_sensitivity",
    "subset_accuracy",
]
