"""Slices of rows, or of neurons, that bound the memory of what is computed for each."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(n: int, entries_each: int, entries: int, at_least: int = 1) -> Iterator[slice]:
    """Slices of range(n) of at most so many entries, but of no fewer items than ``at_least``.

    Examples
    --------
    >>> list(blocks(5, entries_each=10, entries=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(at_least, entries // max(entries_each, 1))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
