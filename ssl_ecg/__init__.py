"""Self-supervised representation learning for ECG.

The public names below are loaded at first use, so that ``import ssl_ecg`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssl_ecg._version import __version__

if TYPE_CHECKING:
    from ssl_ecg.clusters.clustering import cluster
    from ssl_ecg.clusters.order import labelling_order
    from ssl_ecg.data.archive import Archive
    from ssl_ecg.data.corpora import open_corpus
    from ssl_ecg.data.download import download
    from ssl_ecg.data.prepare import prepare
    from ssl_ecg.data.readers import read_record
    from ssl_ecg.data.record import Record
    from ssl_ecg.data.simulate import simulate
    from ssl_ecg.data.strips import Strips
    from ssl_ecg.embedding.run import embed
    from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
    from ssl_ecg.errors import SSLECGError
    from ssl_ecg.explain.occlusion import occlude
    from ssl_ecg.finetuning.folds import finetune_folds
    from ssl_ecg.finetuning.run import finetune
    from ssl_ecg.finetuning.seeds import finetune_seeds
    from ssl_ecg.models.registry import build_encoder
    from ssl_ecg.monitor.stream import Monitor, monitor_stream
    from ssl_ecg.prediction.predict import predict
    from ssl_ecg.pretraining import pretrain
    from ssl_ecg.probing.knn import KNNProbe
    from ssl_ecg.probing.linear import LinearProbe
    from ssl_ecg.probing.ridge import RidgeProbe
    from ssl_ecg.reconstruction.reconstruct import reconstruct
    from ssl_ecg.screen.density import DensityScreen
    from ssl_ecg.screen.kmeans import KMeansScreen
    from ssl_ecg.screen.knn import KNNScreen
    from ssl_ecg.screen.mahalanobis import MahalanobisScreen
    from ssl_ecg.train.checkpoint import load_encoder

_HOMES = {
    "Archive": "data.archive",
    "DensityScreen": "screen.density",
    "Embeddings": "embedding.vectors",
    "KMeansScreen": "screen.kmeans",
    "KNNProbe": "probing.knn",
    "KNNScreen": "screen.knn",
    "LinearProbe": "probing.linear",
    "MahalanobisScreen": "screen.mahalanobis",
    "Monitor": "monitor.stream",
    "Record": "data.record",
    "RidgeProbe": "probing.ridge",
    "SSLECGError": "errors",
    "Strips": "data.strips",
    "build_encoder": "models.registry",
    "cluster": "clusters.clustering",
    "download": "data.download",
    "embed": "embedding.run",
    "finetune": "finetuning.run",
    "finetune_folds": "finetuning.folds",
    "finetune_seeds": "finetuning.seeds",
    "labelling_order": "clusters.order",
    "load_embeddings": "embedding.vectors",
    "load_encoder": "train.checkpoint",
    "monitor_stream": "monitor.stream",
    "occlude": "explain.occlusion",
    "open_corpus": "data.corpora",
    "predict": "prediction.predict",
    "prepare": "data.prepare",
    "pretrain": "pretraining",
    "read_record": "data.readers",
    "reconstruct": "reconstruction.reconstruct",
    "simulate": "data.simulate",
}
_MODULES = ("evaluate", "metrics")  # evaluate is a package that can be called

__all__ = [
    "Archive",
    "DensityScreen",
    "Embeddings",
    "KMeansScreen",
    "KNNProbe",
    "KNNScreen",
    "LinearProbe",
    "MahalanobisScreen",
    "Monitor",
    "Record",
    "RidgeProbe",
    "SSLECGError",
    "Strips",
    "__version__",
    "build_encoder",
    "cluster",
    "download",
    "embed",
    "finetune",
    "finetune_folds",
    "finetune_seeds",
    "labelling_order",
    "load_embeddings",
    "load_encoder",
    "monitor_stream",
    "occlude",
    "open_corpus",
    "predict",
    "prepare",
    "pretrain",
    "read_record",
    "reconstruct",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"ssl_ecg.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'ssl_ecg' has no attribute {name!r}")
    value = getattr(import_module(f"ssl_ecg.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
