"""The torch backend: which program, on which device."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

import torch

from ..arrangements import Arrangements
from ..problem import Problem
from ..threads import one_blas_thread, one_thread
from .adaptive import solve_adaptive
from .column_generation import solve_columns
from .gated import solve_gated
from .interface import Options, Solution
from .interior_point import solve_cones
from .measure import Model

# Smallest n * q for which device=None takes a CUDA device that is present: a guess, not measured.
MIN_CUDA_SIZE = 1_000_000
# Largest n * q solved on one thread. Two are 1.0 to 1.5 times faster on idle cores and 1.7 to 3.6
# times slower where one is busy (benchmarks/threads.py): small fits, which come in numbers, do
# without.
MAX_ONE_THREAD = 50_000
# With more rows the system of n equations of `gated` is too large.
MAX_SYSTEM = 10_000
# Rows, and entries of masks, up to which `interior_point` is as fast as column generation, and at a
# small tol several times as fast (benchmarks/sampled.py).
MAX_CONES_ROWS, MAX_CONES_ENTRIES = 500, 200_000
# Blocks are made smaller by these factors when a device runs out of memory.
SHRINK = (1, 8, 64)


def resolve_device(device: str | None, problem: Problem) -> torch.device:
    """The device named, or for None CUDA where present and worth it, else the CPU."""
    if device is None:
        worth_it = problem.Q.size >= MIN_CUDA_SIZE and torch.cuda.is_available()
        device = "cuda" if worth_it else "cpu"
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' is not present: torch sees none; use device=None.")
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return torch.device(device)
    index, count = int(number or 0), torch.cuda.device_count()
    if index >= count:
        raise ValueError(
            f"device={device!r} is not present: torch sees {count} CUDA devices; use device=None."
        )
    return torch.device(kind, index if number else torch.cuda.current_device())


def solve(problem: Problem, arrangements: Arrangements | None, options: Options) -> Solution:
    """Solve over the given arrangements, or over those generated until gap <= tol * zero_loss.

    Stopped early, by a limit or from the keyboard, it returns the best network so far with its
    dual point.
    """
    device = resolve_device(options.device, problem)
    small = device.type == "cpu" and problem.Q.size <= MAX_ONE_THREAD
    deadline = time.perf_counter() + options.max_time
    for shrink in SHRINK:
        with (
            suppress(torch.OutOfMemoryError),
            _cpu_by_default(),
            torch.autocast("cpu", enabled=False),
            torch.autocast(device.type, enabled=False),
            one_thread() if small else one_blas_thread(),
        ):
            left = replace(options, max_time=max(deadline - time.perf_counter(), 0.0))
            return _solve(Model(problem, device, shrink), arrangements, left)
    raise MemoryError(
        f"Device {device} has too little memory for {problem.Q.shape[0]} rows in "
        f"{problem.Q.shape[1]} dimensions; use device='cpu' or a smaller rank."
    )


def _cpu_by_default() -> AbstractContextManager:
    """New tensors on the CPU whatever the user's default, in this thread."""
    elsewhere = torch.get_default_device().type != "cpu"
    return torch.device("cpu") if elsewhere else nullcontext()


def _solve(model: Model, arrangements: Arrangements | None, options: Options) -> Solution:
    n = len(model.Q)
    if arrangements is None:
        return solve_adaptive(model, options)
    if options.gated:
        if n > MAX_SYSTEM:
            raise ValueError(
                f"activation='gated_relu' takes up to {MAX_SYSTEM} distinct rows, got {n}; use "
                "activation='relu' or fewer samples."
            )
        return solve_gated(model, arrangements, options)
    scalar = model.problem.loss.quadratic and model.problem.n_outputs == 1
    few = n <= MAX_CONES_ROWS and n * len(arrangements) <= MAX_CONES_ENTRIES
    if scalar and few and not arrangements.complete:
        return solve_cones(model, arrangements, options)
    return solve_columns(model, arrangements, options)
