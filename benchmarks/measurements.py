"""Write the tables of docs/measurements.md from the results in results/.

    python benchmarks/measurements.py

A table follows each line `<!-- NAME -->`, where NAME is a function of `TABLES`; the text around is
left alone. Run it after any other script here; a test fails where the tables are not those of the
results.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from report import FOLDER, command_line, table

PAGE = Path(__file__).parents[1] / "docs" / "measurements.md"
Row = dict[str, Any]
TABLES: dict[str, Callable[[], list[Row]]] = {}


def tabulated(function):
    """Make a function known as the source of the table of its name."""
    TABLES[function.__name__.replace("_", " ")] = function
    return function


def results(name: str) -> list[Row]:
    return json.loads((FOLDER / f"{name}.json").read_text())["rows"]


def grouped(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    """Rows that agree in the columns named, by these, in order of their first appearance."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        groups.setdefault(key if len(names) > 1 else key[0], []).append(row)
    return groups


def short(x: float) -> str:
    """Two significant digits, or all before the point."""
    return "-" if not np.isfinite(x) else f"{x:.0f}" if x >= 10 else f"{float(f'{x:.2g}'):g}"


def seconds(x: float) -> str:
    return "-" if not np.isfinite(x) else f"{short(x)} s"


def renamed(row: Row, names: dict[str, str]) -> Row:
    """The columns named, under other names; times as text."""
    return {
        new: seconds(row[old]) if "[s]" in old or "seconds" in old else row[old]
        for old, new in names.items()
    }


def accuracy(kind: str, score: str, *left_out: str) -> list[Row]:
    methods = results(f"accuracy_{kind}_methods")
    return [
        {
            "method": row["method"],
            f"mean {score}": f"{row['mean']:.3f}",
            "worst": f"{row['worst']:.3f}",
            "rank": f"{row['rank']:.1f}",
            "CV wins, loses": ""
            if row["method"] == "ours, CV"
            else f"{row['CV wins']}, {row['CV loses']}",
            "seconds": short(row["seconds"]),
        }
        for row in methods
        if not row["method"].endswith(" beta") and row["method"] not in left_out
    ]


@tabulated
def accuracy_regression():
    return accuracy("regression", "R2", "ours, shrinkage 1")


@tabulated
def accuracy_classes():
    return accuracy("classes", "accuracy", "ours, shrinkage 0.5")


def scores(found: dict[str, Row], methods: dict[str, str], score: str) -> Row:
    """Score and time of each method, under the name of its column."""
    return {
        column: f"{found[name][score]:.3f}, {seconds(found[name]['seconds'])}"
        for column, name in methods.items()
    }


@tabulated
def rivals_regression():
    methods = {
        "R2 and time, ours": "skconvexbn",
        "ours, tol=1e-3": "skconvexbn, tol=1e-3",
        "`MLPRegressor`": "MLPRegressor",
        "AdamW": "AdamW",
    }
    rows = []
    for data, group in grouped(results("rivals_regression"), "data").items():
        found = {row["method"]: row for row in group}
        rows.append(
            {"data": data}
            | scores(found, methods, "R2")
            | {"spread, ours": f"{found['skconvexbn']['spread']:.1g}"}
            | {"tol=1e-4": f"{found['skconvexbn, tol=1e-4']['spread']:.1g}"}
            | {"spread, `MLPRegressor`": f"{found['MLPRegressor']['spread']:.2g}"}
        )
    return rows


@tabulated
def rivals_classes():
    methods = {
        "accuracy and time, ours": "skconvexbn",
        "`MLPClassifier`": "MLPClassifier",
        "AdamW": "AdamW",
    }
    rows = []
    for data, group in grouped(results("rivals_classes"), "data").items():
        found = {row["method"]: row for row in group}
        rows.append(
            {"data": data}
            | scores(found, methods, "accuracy")
            | {"labels that change, ours": f"{found['skconvexbn']['spread']:.1%}"}
            | {"labels, `MLPClassifier`": f"{found['MLPClassifier']['spread']:.1%}"}
        )
    return rows


def rules(kind: str) -> list[Row]:
    """Rules for beta, with their best constants; "taken" is that of beta="auto"."""
    names = {"score": "accuracy" if kind == "classes" else "R2", "others'": "others' constant"}
    names |= {"many rows": "many rows"}
    names |= {"log loss": "log loss"} if kind == "classes" else {}
    *found, taken, best = results(f"beta_rule_{kind}_rules")
    labels = [f"`{row['rule']}`" for row in found] + ["taken", best["rule"]]
    return [
        {"rule": label, "constant": short(row["constant"])}
        | {new: f"{row[old]:.4f}".replace("nan", "-") for old, new in names.items()}
        for label, row in zip(labels, [*found, taken, best], strict=True)
    ]


@tabulated
def rules_regression():
    return rules("regression")


@tabulated
def rules_outputs():
    return rules("outputs")


@tabulated
def rules_classes():
    return rules("classes")


def few_rows(kind: str, shown: dict[str, Callable[[list[float]], str]]) -> list[Row]:
    """Scores where rows are few, as shown, at beta="auto", at the fixed share and the best."""
    found = []
    for ratio, rows in grouped(results(f"few_rows_{kind}"), "n / (d + 1)").items():
        share = np.median([row["share"] for row in rows])
        cells = {
            f"{score}, {at}": form([row[f"{score}, {at}"] for row in rows])
            for score, form in shown.items()
            for at in ("auto", "fixed", "best")
        }
        found.append({"rows / (d + 1)": ratio, "fits": len(rows), "share": short(share)} | cells)
    return found


@tabulated
def few_rows_regression():
    return few_rows("regression", {"R2": lambda x: f"{np.median(x):.2f} ({min(x):.1f})"})


@tabulated
def few_rows_classes():
    def mean(x):
        return f"{np.mean(x):.3f}"

    return few_rows("classes", {"accuracy": mean, "log loss": mean})


@tabulated
def adaptive():
    rows = []
    for (data, n, q), group in grouped(results("adaptive"), "data", "n", "q").items():
        cells = {f"beta {r['beta']:g}": f"{seconds(r['seconds'])}, {r['neurons']}" for r in group}
        rows.append({"data": data, "n": n, "q": q, **cells})
    return rows


@tabulated
def many_rows():
    names = {"data": "data", "n": "n", "q": "q", "C": "outputs", "beta": "beta", "seconds": "1e-2"}
    return [
        renamed(row, names)
        | {"rounds": row["rounds"], "neurons": row["neurons"]}
        | {"gap": f"{row['gap']:.4f}", "checked": f"{row['checked gap']:.4f}"}
        for row in results("many_rows")
    ]


@tabulated
def counted_rows():
    def means(kind, counted):
        rows = [
            row
            for row in results(f"noisy_rows_{kind}")
            if row["part"] == "chosen" and row["rows for each column"] == counted
        ]
        names = {"score": "R2" if kind == "regression" else "accuracy"}
        names |= {"log loss": "log loss"} if kind == "classes" else {}
        found = {new: f"{np.mean([row[old] for row in rows]):.3f}" for old, new in names.items()}
        return found | {f"{kind} [s]": short(sum(row["seconds"] for row in rows))}

    chosen = [row for row in results("noisy_rows_regression") if row["part"] == "chosen"]
    return [
        {"rows for each column": counted} | means("regression", counted) | means("classes", counted)
        for counted in grouped(chosen, "rows for each column")
    ]


@tabulated
def noisy_rows():
    return [
        {"score": "R2" if kind == "regression" else "accuracy", "data": name, "n": n}
        | {
            method: f"{row['score']:.3f}, {seconds(row['seconds'])}"
            for method, row in zip(("auto", "all rows counted", "MLP"), group, strict=True)
        }
        for kind in ("regression", "classes")
        for (part, name, n), group in grouped(
            results(f"noisy_rows_{kind}"), "part", "data", "n"
        ).items()
        if part == "judged"
    ]


@tabulated
def gap_against_time():
    names = {name: name for name in ("data", "n", "q", "beta")}
    names |= {"to 0.01 [s]": "1e-2", "to 0.005 [s]": "5e-3", "to 0.001 [s]": "1e-3"}
    return [
        renamed(row, names) | {"gap": f"{row['gap']:.4f}", "checked": f"{row['checked gap']:.4f}"}
        for row in results("gap_against_time")
    ]


@tabulated
def classes():
    rows = []
    for key, group in grouped(results("classes"), "data", "n", "q", "classes").items():
        row = dict(zip(("data", "n", "q", "classes"), key, strict=True))
        for r in group:
            loss = r["loss"].replace("_", " ")
            for level, gap, time in (
                ("1e-2", r["gap at tol=1e-2"], r["seconds at tol=1e-2"]),
                ("1e-3", r["gap"], r["seconds"]),
            ):
                closed = gap <= float(level)
                row[f"{loss}, {level}"] = seconds(time) if closed else f"gap {gap:.1e}"
        row["refuted"] = max((x for r in group for x in r["refuted"].split()), key=float)
        rows.append(row)
    return rows


@tabulated
def oracle():
    return [
        renamed(row, {"method": "search", "seconds": "seconds"})
        | {f"short, {name}": f"{row[f'short, {name}']:.4f}" for name in ("median", "largest")}
        for row in results("oracle_short")
    ]


@tabulated
def growth():
    names = {name: name for name in ("varies", "n", "q", "C")}
    names |= {"round [s]": "round", "thorough [s]": "thorough search", "fit [s]": "fit"}
    return [
        renamed(row, names)
        | {"neurons": row["neurons"], "peak memory": f"{row['peak [MB]']:.0f} MB"}
        for row in results("growth")
    ]


@tabulated
def exponents():
    names = {"round [s]": "round", "thorough [s]": "thorough search", "peak [MB]": "peak memory"}
    return [
        {"varies": row["varies"], "range": f"{row['from']} to {row['to']}"}
        | {new: f"{row[old]:.2f} ({row[f'{old}, last']:.2f})" for old, new in names.items()}
        for row in results("growth_exponents")
    ]


@tabulated
def products():
    names = {"data": "data", "q": "q", "part": "part", "seconds": "time"}
    return [
        renamed(row, names)
        | {
            "share in products": f"{row['share']:.0%}",
            "products at bare speed / time": f"{row['bare / time']:.0%}",
        }
        for row in results("gemm_share_cpu")
    ]


@tabulated
def threads():
    names = {"one": "one", "torch": "torch", "both": "torch and BLAS"}
    names |= {f"{old}, busy": f"{new}, busy" for old, new in names.items()}
    return [
        {"n": row["n"], "q": row["q"]} | {new: seconds(row[old]) for old, new in names.items()}
        for row in results("threads")
    ]


@tabulated
def plain_training():
    rows = []
    for row in results("plain_training"):
        ours = row["best rival"] + row["ours - rival"]
        fine = row["ours, tol / 10, - rival"] - row["ours - rival"]
        differences = row["L-BFGS - ours"], row["AdamW - ours"], fine
        names = "L-BFGS", "AdamW", "ours, tol/10"
        rows.append(
            {"data": row["data"], "beta": row["beta"], "ours": f"{ours:.4f}"}
            | {name: f"{x:+.4f}" for name, x in zip(names, differences, strict=True)}
            | {"seconds: ours": short(row["ours [s]"])}
            | {"seconds: tol/10": short(row["tol / 10 [s]"])}
            | {f"seconds: {name}": short(row[f"{name} [s]"]) for name in ("L-BFGS", "AdamW")}
        )
    return rows


@tabulated
def pyscnn_relu():
    rows = []
    for row in results("pyscnn_relu"):
        as_low = row["ours to pyscnn's [s]"]
        rows.append(
            {
                "data": row["data"],
                "objective, ours": f"{row['ours']:.4g}",
                "pyscnn AL": f"{row['pyscnn AL']:.4g}",
                "ours to pyscnn's": seconds(as_low),
                "ours to 1e-3": seconds(row["ours [s]"]),
                "AL": seconds(row["AL [s]"]),
                "AL / ours to its objective": f"{row['AL [s]'] / as_low:.0f}",
            }
        )
    return rows


@tabulated
def pyscnn_gated():
    return [
        {
            "data": row["data"],
            "objective, ours": f"{row['ours']:.4g}",
            "R-FISTA": f"{row['R-FISTA']:.4g}",
            "time, ours": seconds(row["ours [s]"]),
            "time, R-FISTA": seconds(row["R-FISTA [s]"]),
            "R-FISTA / ours": f"{row['R-FISTA / ours']:.1f}",
        }
        for row in results("pyscnn_gated")
    ]


@tabulated
def model_selection():
    names = {"data": "data", "n": "n", "d": "d"}
    names |= {"CV seconds": "CV", "GridSearchCV seconds": "GridSearchCV"}
    return [
        renamed(row, names)
        | {
            "times faster": f"{row['times faster']:.1f}",
            "in default fits": f"{row['CV / default fit']:.0f}",
            "difference": f"{row['difference of test R2']:.4f}",
            "of random states": f"{row['of random states']:.4f}",
            "same best": "yes" if row["same best"] else "no",
        }
        for row in results("model_selection")
    ]


@tabulated
def sampled_methods():
    return [
        {"n": row["n"], "arrangements": row["arrangements"], "tol": f"{row['tol']:g}"}
        | {
            name: f"{seconds(row[f'{name}, seconds'])}, {row[f'{name}, gap']:.0e}"
            for name in ("interior point", "columns")
        }
        for row in results("sampled_methods")
    ]


@tabulated
def mostly_noise():
    def mean(group, name):
        return f"{np.mean([row[name] for row in group]):.3f}"

    return [
        {
            "targets": f"{'R2' if kind == 'regression' else 'log loss'}, signal {signal:g}",
            "auto": f"{mean(group, 'auto')} ({min(r['auto'] for r in group):.2f})",
            "a tenth": f"{mean(group, 'a tenth')} ({min(r['a tenth'] for r in group):.2f})",
            "linear": mean(group, "linear"),
            "MLP": mean(group, "MLP"),
            "seconds, auto": short(sum(row["auto, seconds"] for row in group)),
            "seconds, a tenth": short(sum(row["a tenth, seconds"] for row in group)),
            "neurons": f"{short(np.median([row['neurons'] for row in group]))}, "
            f"{short(np.median([row['neurons, a tenth'] for row in group]))}",
        }
        for (kind, signal), group in grouped(results("mostly_noise"), "kind", "signal").items()
    ]


@tabulated
def sampled():
    return [
        {"beta": beta} | {row["method"]: seconds(row["seconds"]) for row in group}
        for beta, group in grouped(results("sampled"), "beta").items()
    ]


@tabulated
def bounds():
    return [
        {"columns": "exponential" + (f"^{power}" if power > 1 else "")}
        | {
            f"bias scale {row['bias_scale']}": f"{row['false bounds']} of {row['fits']}, "
            f"{short(row['largest excess [tol]'])}"
            for row in group
        }
        for power, group in grouped(results("bounds"), "power").items()
    ]


@tabulated
def narrow():
    return [
        {"columns": columns, "tails": tails}
        | {
            f"beta auto * {row['beta / auto']:g}": f"{row['refuted by over 0.2 tol']} of "
            f"{row['converged']}, {max(row['largest refutation [tol]'], 0.0):.2f}"
            for row in group
        }
        for (columns, tails), group in grouped(results("narrow"), "columns", "tails").items()
    ]


@tabulated
def backends():
    return [
        {"rank": group[0]["rank"], "n": group[0]["n"], "arrangements": count}
        | {
            f"{row['estimator']}, {route}": seconds(row[route])
            for row in group
            for route in ("exact", "adaptive")
        }
        for (_, count), group in grouped(results("backends"), "rank", "arrangements").items()
    ]


@tabulated
def sampling_gap():
    def percent(x):
        return "0 %" if x < 5e-4 else f"{float(f'{x:.2g}'):g} %"

    return [
        {"rank": rank}
        | {
            f"{row['sampled']} sampled": f"{percent(row['excess, median [%]'])} "
            f"({percent(row['excess, worst [%]'])})"
            for row in group
        }
        for rank, group in grouped(results("sampling_gap"), "rank").items()
    ]


@tabulated
def closed_form():
    names = {
        "regressor": "regressor",
        "classifier, squared error": "classifier (10 classes, squared error)",
        "classifier, log loss": "classifier (log loss)",
    }
    return [
        {"n": row["n"], "Ridge": f"{row['ridge svd [s]']:.3g} s"}
        | {new: f"{row[f'{old} / ridge']:.2f}" for old, new in names.items()}
        for row in results("closed_form")
    ]


@tabulated
def cvxpy():
    losses = {"SquaredError": "squared error", "BinaryLogLoss": "log loss"}
    return [
        {
            "loss": losses[row["loss"]],
            "n": row["n"],
            "d": row["d"],
            "seconds": f"{row['total [s]']:.2f}",
            "of which Clarabel": f"{row['clarabel [s]']:.2f}",
            "oracle": f"{row['oracle [s]']:.2f}",
            "construction": f"{100 * row['construction / total']:.0f} %",
        }
        for row in results("cvxpy_overhead")
    ]


def with_tables(text: str) -> str:
    """The page with every table of the results; a marker may still be without one."""
    markers = re.findall(r"^<!-- (.*) -->$", text, flags=re.M)
    if sorted(markers) != sorted(TABLES):
        wrong = sorted(set(markers) ^ set(TABLES)) or "some twice"
        raise ValueError(f"The markers of {PAGE.name} are not the tables of this script: {wrong}.")
    for name in markers:
        block = re.compile(rf"(<!-- {name} -->\n)(?:\n(?:\|.*\n)+)?")
        rows = table(TABLES[name]())
        text = block.sub(lambda match, rows=rows: f"{match[1]}\n{rows}\n", text)
    return text


def main():
    PAGE.write_text(with_tables(PAGE.read_text()))


if __name__ == "__main__":
    command_line(main, __doc__)
