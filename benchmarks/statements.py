"""What README.md and docs say of the results in results/, in their words.

    python benchmarks/statements.py

Prints the phrases that a page lacks; a test fails where there are any. Tables are those of
measurements.py.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measurements import grouped, results, short
from report import command_line

ROOT = Path(__file__).parents[1]
README, GUIDE = "README.md", "docs/user_guide.md"
TABLES = "docs/measurements.md"
NUMBERS = "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"


def spread(values, form=short, between=" to ") -> str:
    """Smallest to largest."""
    return f"{form(min(values))}{between}{form(max(values))}"


def counted(k: int) -> str:
    """Small numbers in words."""
    return NUMBERS[k] if k < len(NUMBERS) else str(k)


def refutations(name: str) -> np.ndarray:
    """Refutations of all fits, in units of tol."""
    return np.array([float(x) for row in results(name) for x in row["refuted"].split()])


def of_accuracy() -> Iterator[tuple[str, str]]:
    found = {
        kind: {row["method"]: row for row in results(f"accuracy_{kind}_methods")}
        for kind in ("regression", "classes")
    }
    shown = {
        "ours, CV": "`ConvexBNRegressorCV`, `ConvexBNClassifierCV`",
        "ours, CV average": "the same, `average=True`",
        "ours, default": "`ConvexBNRegressor`, `ConvexBNClassifier`",
        "RandomForest, grid": "`RandomForest`, tuned",
        "HistGradientBoosting, grid": "`HistGradientBoosting`, tuned",
        "SVM, grid": "`SVR`, `SVC`, tuned",
        "MLP": "`MLPRegressor`, `MLPClassifier`",
    }
    for method, name in shown.items():
        rows = [found[kind][method] for kind in ("regression", "classes")]
        cells = [f"{row['mean']:.3f} | {short(row['seconds, all sets'])}" for row in rows]
        yield README, f"| {name} | {' | '.join(cells)} |"
    search = [f"{found[kind]['ours, CV']['seconds, all sets']:.0f}" for kind in found]
    yield README, f"that took {search[0]} s in all on five regression sets"
    yield README, f"and {search[1]} s in all on ten classification sets"
    few_rows = found["classes"]["ours, shrinkage 1"]["mean"]
    yield README, f"with `shrinkage=1, bias_scale=3` it has {few_rows:.3f}"
    fine = []
    for methods in found.values():
        ours, finer = methods["ours, default"], methods["ours, tol 0.001"]
        longer = finer["seconds, all sets"] / ours["seconds, all sets"]
        gain = finer["mean"] - ours["mean"]
        fine.append((f"{longer:.1f} times", f"{abs(gain):.4f} {'more' if gain > 0 else 'less'}"))
    (regression, loss), (classes, labels) = fine
    text = f"takes {classes} as long and has {labels}; for regression {regression}, and {loss}"
    yield TABLES, text
    time = [
        f"{found['regression'][m]['seconds, all sets']:.1f} s" for m in ("ours, default", "MLP")
    ]
    yield TABLES, f"all five sets take {time[0]} in all (`MLPRegressor` {time[1]})"
    totals = []
    for method in ("ours, default", "MLP"):
        sizes = {"regression": 5, "classes": 10}
        mean = sum(k * found[kind][method]["mean"] for kind, k in sizes.items()) / 15
        time = sum(found[kind][method]["seconds, all sets"] for kind in sizes)
        totals.append(f"{mean:.4f} in {time:.1f} s")
    yield TABLES, f"a default fit has a mean score of {totals[0]}"
    yield TABLES, f"`MLPRegressor` and `MLPClassifier` {totals[1]}"


def of_rivals() -> Iterator[tuple[str, str]]:
    rows = [
        row | {"score": row.get("R2", row.get("accuracy"))}
        for kind in ("regression", "classes")
        for row in results(f"rivals_{kind}")
    ]
    by_method = grouped(rows, "method")
    ours, mlp = by_method["skconvexbn"], by_method["MLPRegressor"] + by_method["MLPClassifier"]
    time = [sum(row["seconds"] for row in group) for group in (ours, mlp)]
    score = [np.mean([row["score"] for row in group]) for group in (ours, mlp)]
    n = len(ours)
    text = f"Over {n} sets default fits take {time[0]:.1f} s in all"
    yield README, f"{text}, the MLPs {time[1]:.1f} s"
    yield README, f"at mean scores of {score[0]:.3f} and {score[1]:.3f}"
    text = f"a default fit has a mean score (R2 or accuracy) of {score[0]:.3f} in {time[0]:.1f} s"
    yield TABLES, f"Over the {n} sets {text} in all"
    ratios = {name: [row["our time / its"] for row in by_method[name]] for name in by_method}
    yield README, f"{spread(ratios['MLPRegressor'])} times as long for regression"
    yield README, f"{spread(ratios['MLPClassifier'])} times for classes"
    longer = sum(r > 1.05 for r in ratios["MLPRegressor"] + ratios["MLPClassifier"])
    yield README, f"more than 5 % longer on {counted(longer)} of {n} sets"
    spreads = {
        name: spread([row["spread"] for row in by_method[name]])
        for name in ("skconvexbn", "skconvexbn, tol=1e-4", "MLPRegressor")
        if "R2" in by_method[name][0]
    }
    regression = [row["spread"] for row in ours if "R2" in row]
    yield README, f"differ by {spread(regression)} standard deviations"
    yield README, f"at `tol=1e-4` by {spreads['skconvexbn, tol=1e-4']}"
    yield README, f"those of `MLPRegressor` by {spreads['MLPRegressor']}"
    shares = [
        row["to AdamW's / AdamW"]
        for kind in ("regression", "classes")
        for row in results(f"rivals_objective_{kind}")
    ]
    text = f"after {spread(shares)} of its time (median {short(np.median(shares))}"
    yield README, text
    yield TABLES, text


def of_solvers() -> Iterator[tuple[str, str]]:
    tight, loose = results("adaptive"), results("adaptive_loose")
    five = ("airfoil", "autompg", "concrete", "energy", "housing")
    time = {
        rows is tight: spread([r["seconds"] for r in rows if r["data"] in five])
        for rows in (tight, loose)
    }
    yield README, f"a gap of at most 1e-2 (units of R2) after {time[False]} s on airfoil"
    yield README, f"one of 1e-3 takes {time[True]} s"
    relative = [100 * float(row["gap"]) * row["n"] / 2 / float(row["primal"]) for row in loose]
    text = f"{short(np.median(relative))} % in the median of {len(relative)} fits"
    yield README, f"{text} at `beta` 0.03 to 1, {short(max(relative))} % at most"
    coarse, fine = refutations("adaptive_loose"), refutations("adaptive")
    text = f"in {counted(sum(coarse > 0.2))} of {len(coarse)} default fits (by {coarse.max():.2f}"
    text += f" at most), and in {counted(sum(fine > 0.2))} of {len(fine)} at 1e-3"
    yield README, f"{text} (by {fine.max():.2f})"
    text = f"refuted none of {len(coarse)} default fits by more than {coarse.max():.2f} of tol"
    text += f", and {counted(sum(fine > 0.2))} of {len(fine)} at `tol=1e-3`"
    yield GUIDE, f"{text} by more than a fifth (by {fine.max():.2f} of it"
    excess = [
        (float(a["primal"]) - float(b["primal"])) / (a["n"] / 2)
        for a, b in zip(loose, tight, strict=True)
    ]
    text = f"(median of {len(excess)} fits, at most {short(max(excess))}"
    yield GUIDE, f"{short(np.median(excess))} of the loss without neurons {text}"
    yield (
        README,
        f"at most {short(max(excess))} of the loss without neurons above those of `tol=1e-3`",
    )
    yield TABLES, f"by {short(np.median(excess))} (median; at most {short(max(excess))}"
    narrow = results("narrow")
    few = [row for row in narrow if row["columns"] <= 6]
    many = [row for row in narrow if row["columns"] > 6]
    for page in (GUIDE, TABLES):
        refuted = sum(row["refuted by over 0.2 tol"] for row in few)
        yield page, f"{counted(refuted)} of {sum(row['converged'] for row in few)}"
        yield page, f"by {max(row['largest refutation [tol]'] for row in few):.2f}"
        refuted = sum(row["refuted by over 0.2 tol"] for row in many)
        yield page, f"{counted(refuted)} of {sum(row['converged'] for row in many)}"
        yield page, f"by up to {max(row['largest refutation [tol]'] for row in many):.1f} of tol"
    for row in results("gap_against_time"):
        if (row["data"], row["beta"]) == ("friedman1-20", 0.1):
            to_tol, to_fine = short(row["to 0.01 [s]"]), short(row["to 0.001 [s]"])
            yield GUIDE, f"took {to_tol} s to 1e-2 and {to_fine} s to 1e-3"
    wave = [row for row in results("gap_against_time") if row["data"] == "waveform-5000"]
    found, checked = (
        [f"{1e3 * row[key]:.1f}e-3" for row in wave] for key in ("gap", "checked gap")
    )
    yield GUIDE, f"has a gap of {found[0]} after 30 s at `beta` 0.1, and of {found[1]} at 0.3"
    yield GUIDE, f"(a longer search then finds {checked[0]} and {checked[1]})"


def of_comparisons() -> Iterator[tuple[str, str]]:
    search = results("model_selection")
    faster = spread([row["times faster"] for row in search], "{:.1f}".format)
    yield README, f"{faster} times faster than `GridSearchCV`"
    yield GUIDE, f"{faster} times faster than `GridSearchCV`"
    apart = max(row["difference of test R2"] for row in search)
    seeds = max(row["of random states"] for row in search)
    yield GUIDE, f"mean test errors within {apart:.4f} of R2"
    yield GUIDE, f"two `GridSearchCV` of different `random_state` by as much as {seeds:.4f}"
    pyscnn = results("pyscnn_relu")
    above = [100 * (row["pyscnn AL"] / row["ours"] - 1) for row in pyscnn]
    yield README, f"end {spread(above)} % above ours on {counted(len(pyscnn))} sets"
    sooner = [row["AL [s]"] / row["ours to pyscnn's [s]"] for row in pyscnn]
    low, high = (float(f"{x:.2g}") for x in (min(sooner), max(sooner)))
    yield README, f"we reach their objective {low:,.0f} to {high:,.0f} times sooner"
    ridge = spread([row["regressor / ridge"] for row in results("closed_form")], "{:.2f}".format)
    yield README, f'{ridge} times the time of `Ridge(solver="svd")`'


def missing() -> list[tuple[str, str]]:
    """Page and phrase of every statement that its page does not make."""
    pages = {name: " ".join((ROOT / name).read_text().split()) for name in (README, GUIDE, TABLES)}
    parts = of_accuracy, of_rivals, of_solvers, of_comparisons
    found = [statement for part in parts for statement in part()]
    assert len(found) > 40
    return [(page, phrase) for page, phrase in found if phrase not in pages[page]]


def main():
    for page, phrase in missing():
        print(f"{page}: {phrase}")


if __name__ == "__main__":
    command_line(main, __doc__)
