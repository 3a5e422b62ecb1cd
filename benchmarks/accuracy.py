"""Held-out scores of the defaults and of cross-validation beside rivals, on many sets.

    python benchmarks/accuracy.py regression|classes SOURCE [--splits 5] [--rows 1000] [--only NAME]

SOURCE is a folder of .npz files (arrays X and y, files named reg-* and clf-*) or OpenML ids joined
by commas. Splits are random, 75 % for training, stratified for classes; sets of more rows are cut
to --rows. Scores are R2 or accuracy. The methods are in accuracy_methods.py; pyscnn takes part if
it is installed. Jobs and threads are one each: seconds are those of the processor. Methods that
share a search (the three of ours by cross-validation, the two of pyscnn) all show its seconds.

Defaults were to be chosen on one half of the sets and judged on the other: sets are numbered by
name, the even ones are "choose", the odd ones "judge". Ranks count rivals only, our variants apart:
"rank" of one of ours is its place among the rivals. "CV wins" and "CV loses" count sets on which
"ours, CV" is better or worse, with the p-value of Wilcoxon's signed-rank test on the mean scores.
Writes results/accuracy_KIND.json, accuracy_KIND_methods.json and accuracy_KIND.png; with --add to
the sets that are in the first of them already.
"""

import argparse
import json
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from accuracy_methods import AVERAGE, CV, OURS, methods
from report import FOLDER, save, table
from scipy.stats import rankdata, studentized_range, wilcoxon
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from threadpoolctl import threadpool_limits

from skconvexbn import ConvexBNRegressor


def data_sets(source, regression, rows):
    """Name, X and y of each set, at most so many rows."""
    if Path(source).is_dir():
        found = []
        for path in sorted(Path(source).glob("reg-*.npz" if regression else "clf-*.npz")):
            with np.load(path) as data:
                found.append((path.stem[4:], data["X"], data["y"]))
    else:
        from sklearn.datasets import fetch_openml

        found = []
        for number in source.split(","):
            data = fetch_openml(data_id=int(number), parser="auto", as_frame=True)
            X = data.data.select_dtypes("number").dropna(axis=1)
            found.append((data.details["name"], X.to_numpy(), data.target.to_numpy()))
    for name, X, y in found:
        some = np.random.default_rng(0).permutation(len(y))[:rows]
        X, y = X[some].astype(float), y[some]
        yield name, X, (y.astype(float) if regression else np.unique(y, return_inverse=True)[1])


def compare(name, half, X, y, splits, with_pyscnn):
    """A row for each method and split."""
    regression = y.dtype.kind == "f"
    score = r2_score if regression else accuracy_score
    kind = ShuffleSplit if regression else StratifiedShuffleSplit
    rows = []
    for k, (train, test) in enumerate(kind(splits, test_size=0.25, random_state=0).split(X, y)):
        for method in methods(regression, with_pyscnn):
            start = time.process_time()
            predictors = method(X[train], y[train], k)
            seconds = time.process_time() - start
            for label, predict in predictors.items():
                value = float(score(y[test], predict(X[test])))
                rows.append(
                    {"data": name, "half": half, "split": k, "method": label}
                    | {"score": value, "seconds": seconds}
                )
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    return rows


def by_set(rows, value):
    """Names of methods and sets, and mean values (sets, methods)."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    sets = list(dict.fromkeys(row["data"] for row in rows))
    mean = [
        [np.mean([r[value] for r in rows if (r["data"], r["method"]) == (s, m)]) for m in names]
        for s in sets
    ]
    return names, sets, np.array(mean)


def summary(rows):
    """A row for each method: scores, rank, comparison with CV, seconds."""
    names, sets, scores = by_set(rows, "score")
    seconds = by_set(rows, "seconds")[2]
    half = np.array([next(r["half"] for r in rows if r["data"] == s) for s in sets])
    rivals = [k for k, name in enumerate(names) if not name.startswith("ours")]
    found = []
    for k, name in enumerate(names):
        field = scores[:, [k, *(r for r in rivals if r != k)]]
        difference = scores[:, names.index(CV)] - scores[:, k]
        test = wilcoxon(difference).pvalue if name != CV and np.any(difference) else 1.0
        found.append(
            {
                "method": name,
                "mean": scores[:, k].mean(),
                **{f"mean, {h}": scores[half == h, k].mean() for h in ("choose", "judge")},
                "worst": scores[:, k].min(),
                "rank": np.mean([rankdata(-row)[0] for row in field]),
                "CV wins": int((difference > 0).sum()),
                "CV loses": int((difference < 0).sum()),
                "p": float(test),
                "seconds": float(np.median(seconds[:, k])),
                "seconds, all sets": float(seconds[:, k].sum()),
            }
        )
    return sorted(found, key=lambda row: -row["mean"])


def figure(rows, path):
    """Mean ranks of ours and rivals, with Nemenyi's critical difference (5 %)."""
    names, sets, scores = by_set(rows, "score")
    shown = [k for k, n in enumerate(names) if n in (OURS, CV, AVERAGE) or not n.startswith("ours")]
    ranks = np.mean([rankdata(-row) for row in scores[:, shown]], axis=0)
    k = len(shown)
    critical = studentized_range.ppf(0.95, k, np.inf) * np.sqrt(k * (k + 1) / (12 * len(sets)))
    order = np.argsort(ranks)
    fig, ax = plt.subplots(figsize=(7, 0.33 * k + 1.2), layout="constrained")
    for place, index in enumerate(order):
        name = names[shown[index]]
        ours = name.startswith("ours")
        ax.plot(ranks[index], place, "o" if ours else "s", color="C3" if ours else "C0")
        ax.annotate(
            f"{ranks[index]:.1f}", (ranks[index], place), (6, 6), textcoords="offset points"
        )
    middle = ranks[order[0]] + critical / 2
    ax.errorbar(middle, -1, xerr=critical / 2, color="k", capsize=4)
    text = f"critical difference {critical:.1f}"
    ax.annotate(text, (middle, -1), (0, 4), textcoords="offset points", ha="center")
    ax.set_yticks(range(k), [names[shown[index]] for index in order])
    ax.set_ylim(k - 0.5, -2.0)
    ax.set_xlim(0.8, max(k, ranks[order[0]] + critical) + 1)
    ax.set_xlabel(f"mean rank over {len(sets)} sets (1 is best)")
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main(kind, source, splits, rows, only, add):
    regression = kind == "regression"
    torch.set_num_threads(1)
    ConvexBNRegressor(backend="torch").fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 1.0])  # imports
    with_pyscnn = find_spec("scnn") is not None
    found = []
    if add:
        found = json.loads((FOLDER / f"accuracy_{kind}.json").read_text())["rows"]
    known = {row["data"] for row in found}
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for number, (name, X, y) in enumerate(data_sets(source, regression, rows)):
            if name in known or (only and name not in only):
                continue
            half = ("choose", "judge")[number % 2]
            found += compare(name, half, X, y, splits, with_pyscnn)
            save(f"accuracy_{kind}", found)
    save(f"accuracy_{kind}_methods", summary(found))
    figure(found, FOLDER / f"accuracy_{kind}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("regression", "classes"))
    parser.add_argument("source", help="a folder of .npz files, or OpenML ids joined by commas")
    parser.add_argument("--splits", type=int, default=5, help="random splits of a set (5)")
    parser.add_argument("--rows", type=int, default=1000, help="rows of a set at most (1000)")
    parser.add_argument("--only", nargs="*", help="names of sets; all without it")
    parser.add_argument("--add", action="store_true", help="keep the sets of the results")
    main(**vars(parser.parse_args()))
