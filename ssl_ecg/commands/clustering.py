"""The command `cluster`: groups of recordings, and which to label first."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, not_negative, positive, quiet
from ssl_ecg.errors import SignalError


def add_cluster(commands: Any) -> None:
    """Add `cluster`."""
    text = "Group recordings, describe the groups, and choose recordings to label."
    parser = command(commands, "cluster", cluster_embeddings, text)
    parser.add_argument("embeddings", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--method", default="kmeans", help="kmeans, gmm, hdbscan or dbscan (default %(default)s)")
    parser.add_argument("--k", type=positive, metavar="N", help="clusters; by default the best number of 2 to 24")
    parser.add_argument("--task", help="compare with the labels of this task, such as superclass")
    parser.add_argument(
        "--representatives", type=positive, default=3, metavar="N", help="recordings of each (default %(default)s)"
    )
    parser.add_argument(
        "--resamples", type=not_negative, default=20, metavar="N",
        help="bootstrap samples for the stability (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--order", type=positive, metavar="N", help="also choose N recordings to label first")
    parser.add_argument("--labelled", type=Path, metavar="TABLE", help="records with labels (column record_id)")
    parser.add_argument("--predictions", type=Path, metavar="TABLE", help="of 'ssl-ecg predict': prefer unsure ones")
    parser.add_argument("--coverage", choices=("facility", "kcenter"), default="facility")
    parser.add_argument("--seed", type=not_negative, default=0)
    quiet(parser)


def cluster_embeddings(options: argparse.Namespace) -> None:
    """Cluster embeddings and print one line a cluster."""
    from ssl_ecg.clusters.folder import cluster_folder, order_folder

    if options.order is None and (options.labelled or options.predictions):
        raise SignalError("cluster", "--labelled and --predictions serve --order only", "give --order N as well")
    report = cluster_folder(
        options.embeddings,
        options.out,
        method=options.method,
        k=options.k,
        task=options.task,
        n_representatives=options.representatives,
        resamples=options.resamples,
        seed=options.seed,
        progress=not options.quiet,
    )
    for line in cluster_lines(report):
        print(line)
    print(options.out / "clusters.json")
    if options.order is not None:
        order = order_folder(
            options.embeddings,
            options.out,
            options.order,
            labelled=options.labelled,
            predictions=options.predictions,
            coverage=options.coverage,
            seed=options.seed,
        )
        print(f"{options.out / 'order.csv'}: {len(order)} recordings to label, the most useful first")


def cluster_lines(report: dict[str, Any]) -> list[str]:
    """Give a description of clusters as lines of text."""
    lines = [f"{report['n_clusters']} clusters, {report['n_without_cluster']} of {report['n_records']} in none"]
    if report["stability"]:
        ari = report["stability"]
        lines[0] += f"; adjusted Rand index of resamples {ari['ari']:.2f} ({ari['low']:.2f} to {ari['high']:.2f})"
    for card in report["cards"]:
        line = f"  {card['cluster']:>2}: {card['size']} recordings"
        if card["jaccard"] is not None:
            line += f", stability {card['jaccard']:.2f}"
        more = [f"{entry['class']} x{entry['lift']:.1f}" for entry in card["labels"] or [] if entry["q"] < 0.05]
        lines.append(f"{line}{'; ' if more else ''}{', '.join(more[:3])}")
    first = (report["agreement"] or {}).get("first_label")
    if first:
        lines.append(
            f"with {report['agreement']['task']}: NMI {first['nmi']:.3f} (by chance {first['nmi_by_chance']:.3f}), "
            f"ARI {first['ari']:.3f}, purity {first['purity']:.3f} (by chance {first['purity_by_chance']:.3f})"
        )
    return lines
