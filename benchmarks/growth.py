"""Growth of time per round and of peak memory with n, q and C: fitted exponents.

    python benchmarks/growth.py [SMALLER]

Generated rows, squared error, beta 0.3, on the CPU. One of n (1e3 .. 1e5), q (5 .. 257) and C
(1 .. 26) varies at a time, from n = 4,000, q = 17, C = 1; SMALLER divides all n. A fit of three
rounds: "round" is the second, "thorough" the third, which ends with a thorough search. Peak memory
is what the fit adds to the process, after a tiny fit, as a multiple of X too. Each point is a
process of its own. The exponent is the slope of the logarithms over all points, "last" over the
last two. Eight minutes. Writes results/growth.json and results/growth_exponents.json.
"""

import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np

START = {"n": 4_000, "q": 17, "C": 1}
VALUES = {
    "n": (1_000, 3_000, 10_000, 30_000, 100_000),
    "q": (5, 9, 17, 33, 65, 129, 257),
    "C": (1, 2, 5, 10, 26),
}


def peak():
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def data(n, q, C):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, q - 1))
    y = np.empty((n, C))
    for c in range(C):
        y[:, c] = np.sin(2 * X[:, c % (q - 1)]) + X[:, (c + 1) % (q - 1)] * X[:, (c + 2) % (q - 1)]
    y += 0.3 * rng.standard_normal((n, C))
    return X, (y - y.mean(axis=0)) / y.std(axis=0)


def point(n, q, C):
    """Measure one point and print it as JSON."""
    from skconvexbn import ConvexBNRegressor
    from skconvexbn.solvers import torch as backend

    warnings.simplefilter("ignore")
    solve, solutions = backend.solve, []

    def recorded(*args):
        solutions.append(solve(*args))
        return solutions[-1]

    backend.solve = recorded
    model = ConvexBNRegressor(
        backend="torch", device="cpu", beta=0.3, tol=0, max_iter=3, random_state=0
    )
    model.fit(*data(200, q, C))  # code, thread pools
    X, y = data(n, q, C)
    before, start = peak(), time.perf_counter()
    model.fit(X, y)
    total, memory = time.perf_counter() - start, peak() - before
    rounds = np.diff([t for t, _, _ in solutions[-1].history])
    row = {"n": n, "q": q, "C": C, "round [s]": rounds[0], "thorough [s]": rounds[1]}
    row |= {"fit [s]": total, "neurons": model.n_neurons_}
    row |= {"peak [MB]": memory / 1e6, "peak / X": memory / X.nbytes}
    print(json.dumps(row, default=float))


def slope(x, y):
    """Exponent of y as a power of x; a fit within the memory of the tiny one has none."""
    x, y = np.array(x)[np.array(y) > 0], np.array(y)[np.array(y) > 0]
    return float(np.polyfit(np.log(x), np.log(y), 1)[0]) if len(x) > 1 else float("nan")


def main(smaller="1"):
    from report import save, table

    rows, exponents = [], []
    for name, values in VALUES.items():
        points = []
        for value in values:
            sizes = START | {name: value}
            sizes["n"] //= int(smaller)
            command = [sys.executable, __file__, "point", *map(str, sizes.values())]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                print(f"{sizes} failed: {run.stderr.strip()[-200:]}", flush=True)
                continue
            points.append({"varies": name, **json.loads(run.stdout)})
            print(table(points[-1:]).splitlines()[-1], flush=True)
        rows += points
        x = [p[name] for p in points]
        row = {"varies": name, "from": x[0], "to": x[-1]}
        for key in ("round [s]", "thorough [s]", "peak [MB]"):
            y = [p[key] for p in points]
            row |= {key: slope(x, y), f"{key}, last": slope(x[-2:], y[-2:])}
        exponents.append(row)
        print(table(exponents[-1:]), flush=True)
    save("growth", rows)
    save("growth_exponents", exponents)


if __name__ == "__main__":
    if sys.argv[1:2] == ["point"]:
        point(*map(int, sys.argv[2:]))
    else:
        from report import command_line

        command_line(main, __doc__)
