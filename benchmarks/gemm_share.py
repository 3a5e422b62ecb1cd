"""Share of time in matrix products, and the speed of whole fits beside bare products alone.

    python benchmarks/gemm_share.py [cpu|cuda]

On generated rows (squared error, one output) and digits (10 classes, log loss): three rounds of the
solver, and its oracle alone (a round's search, a thorough search). "share" is torch.profiler's self
time of aten::mm and its kin over the time of all operators. "bare" repeats every product that the
run had, of the same shapes, layouts and type, alone and with warm caches: bare / time is the speed
reached relative to the hardware's on these shapes. "GFLOP/s" counts these products over the whole
time; "peak" is a bare product of 2,000 x 2,000 in float32. Three minutes. Writes
results/gemm_share_DEVICE.json.
"""

import time
from collections import Counter

import numpy as np
import torch
from report import command_line, save, table
from sklearn.datasets import load_digits, make_friedman1
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from skconvexbn.losses import MultinomialLogLoss, SquaredError
from skconvexbn.oracle.hopping import BasinHopping
from skconvexbn.oracle.search import Search
from skconvexbn.problem import Problem
from skconvexbn.solvers.interface import Options
from skconvexbn.solvers.measure import Measure, Model
from skconvexbn.solvers.torch import solve
from skconvexbn.whitening import Whitening

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::mv", "aten::addmv", "aten::dot")


class Recorder(TorchDispatchMode):
    """Counts matrix products by operator, shapes, strides and type."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Count, then run."""
        if str(func).startswith(("aten.mm.", "aten.bmm.", "aten.mv.", "aten.addmm.")):
            A, B = [a for a in args if isinstance(a, torch.Tensor)][-2:]
            key = tuple((tuple(a.shape), a.stride()) for a in (A, B))
            self.calls[(*key, A.dtype, A.device)] += 1
        return func(*args, **(kwargs or {}))

    def flops(self):
        """Floating-point operations of all products."""
        return sum(
            count * 2 * np.prod(a) * (b[-1] if len(b) > 1 else 1)
            for ((a, _), (b, _), _, _), count in self.calls.items()
        )

    def bare_seconds(self):
        """Time of the same products alone: the median of a few, times their number."""
        total = 0.0
        for (a, b, dtype, device), count in self.calls.items():
            A, B = (torch.empty_strided(*x, dtype=dtype, device=device).normal_() for x in (a, b))
            torch.matmul(A, B)
            times = [timed(lambda A=A, B=B: torch.matmul(A, B)) for _ in range(min(count, 15))]
            total += count * float(np.median(times))
        return total


def timed(work):
    """Seconds, the device's work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def share(work, cuda):
    """Self time of products over that of all operators, by torch.profiler."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities, acc_events=True) as profiler:
        timed(work)
    events = profiler.key_averages()
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    # names of kernels stand beside those of operators on a GPU: count the operators alone
    events = [e for e in events if e.key.startswith("aten::")]
    return sum(getattr(e, key) for e in events if e.key in PRODUCTS) / sum(
        getattr(e, key) for e in events
    )


def peak(device):
    """GFLOP/s of a bare product in float32."""
    A = torch.randn(2_000, 2_000, device=device)
    torch.matmul(A, A)
    return 2 * 2_000**3 / min(timed(lambda: torch.matmul(A, A)) for _ in range(10)) / 1e9


def problems():
    for n, d in ((1_000, 10), (4_000, 64), (20_000, 64)):
        X, y = make_friedman1(n, d, noise=1.0, random_state=0)
        Y = ((y - y.mean()) / y.std())[:, None]
        yield f"n = {n}, d = {d}", X, Y, SquaredError(), 0.3
    X, y = load_digits(return_X_y=True)
    yield "digits", X, np.eye(10)[y], MultinomialLogLoss(), 1.0


def works(problem, device):
    """The solver, and the oracle at the residual of a fit, as functions without arguments."""
    options = Options(tol=0, max_iter=3, device=str(device))
    solution = solve(problem, None, options)
    model = Model(problem, device)
    neurons = Measure.of_weights(*map(model.tensor, (solution.H, solution.G, solution.b))).pairs
    V = model.tensor(solution.V)
    none = neurons[:0]

    def search():
        Search(model.Q, 0).round(V, problem.beta, neurons, none, 1)

    def thorough():
        hopping = BasinHopping(Search(model.Q, 0), V, problem.beta, neurons)
        while hopping.n_generations < 24:
            hopping.hop()

    return {
        "fit": lambda: solve(problem, None, options),
        "search": search,
        "thorough search": thorough,
    }


def main(device="cpu"):
    rows, device = [], torch.device(device)
    fastest = peak(device)
    for name, X, Y, loss, beta in problems():
        w = np.ones(len(X))
        Q = Whitening.fit(X, w).basis().transform(X)
        problem = Problem(Q, Y, w, loss, beta, True)
        for part, work in works(problem, device).items():
            seconds = float(np.median([timed(work) for _ in range(3)]))
            with Recorder() as recorder:
                work()
            bare, flops = recorder.bare_seconds(), recorder.flops()
            rows.append(
                {
                    "data": name,
                    "q": Q.shape[1],
                    "part": part,
                    "seconds": seconds,
                    "share": share(work, device.type == "cuda"),
                    "bare [s]": bare,
                    "bare / time": bare / seconds,
                    "GFLOP/s": flops / seconds / 1e9,
                    "bare GFLOP/s": flops / bare / 1e9,
                    "peak": fastest,
                }
            )
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    save(f"gemm_share_{device.type}", rows)


if __name__ == "__main__":
    command_line(main, __doc__)
