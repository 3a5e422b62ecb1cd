"""Fit time by the threads of torch and of BLAS, on idle cores and beside a process that is busy.

    python benchmarks/threads.py [N_RUNS]

Squared error on generated sets at beta 0.1, two rounds and the thorough search. "one": both
libraries have one thread; "torch": torch has its own, BLAS one; "both": each has its own. "busy":
another process keeps one core from idling. Medians of N_RUNS (3) interleaved runs; fifteen minutes
on two cores. Writes results/threads.json, the measurements behind `MAX_ONE_THREAD` of the torch
backend.
"""

import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext

import numpy as np
from problems import make_problem
from report import command_line, save, table
from sklearn.datasets import make_friedman1

import skconvexbn.solvers.torch as backend
from skconvexbn.solvers.interface import Options
from skconvexbn.threads import one_blas_thread, one_thread

SHAPES = ((1000, 10), (1000, 20), (2000, 20), (2000, 40), (4000, 40), (4000, 80), (30_000, 10))
CONTEXTS = {"one": one_thread, "torch": one_blas_thread, "both": nullcontext}


@contextmanager
def busy():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def seconds(problem, threads):
    backend.one_blas_thread, backend.MAX_ONE_THREAD = CONTEXTS[threads], 0
    start = time.perf_counter()
    backend.solve(problem, None, Options(tol=1e-6, max_iter=2))
    return time.perf_counter() - start


def main(n_runs="3"):
    rows = []
    for n, d in SHAPES:
        X, y = make_friedman1(n, n_features=d, noise=1.0, random_state=0)
        problem = make_problem(X, y, 0.1)
        times = {(load, name): [] for load in ("", ", busy") for name in CONTEXTS}
        for _ in range(int(n_runs)):
            for load, name in times:
                with busy() if load else nullcontext():
                    times[load, name].append(seconds(problem, name))
        medians = {name + load: float(np.median(t)) for (load, name), t in times.items()}
        rows.append({"n": n, "q": problem.Q.shape[1], "n q": problem.Q.size, **medians})
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    save("threads", rows)


if __name__ == "__main__":
    command_line(main, __doc__)
