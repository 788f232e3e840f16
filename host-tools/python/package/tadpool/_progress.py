"""Progress of long work, shown where somebody may see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Progress: TypeAlias = bool | Callable[[str, int, int], object] | None
"""`None` shows a bar if the `tqdm` package is there and standard error is a terminal or a
notebook; `True` shows one anyway, `False` none. A function is called with the part that runs, the
pieces of it that are done, and their number; what it raises stops the work."""

Listener: TypeAlias = Callable[[str, int, int], object] | None


@contextmanager
def listener(progress: Progress) -> Iterator[Listener]:
    """What the extension calls, while the work goes on."""
    if callable(progress):
        yield progress
        return
    if progress is not None and not isinstance(progress, bool):
        kind = type(progress).__name__
        raise TypeError(f"progress is a bool, None or a function, not {kind}")
    bars = _bars(progress)
    if bars is None:
        yield None
        return
    try:
        yield bars
    finally:
        bars.close()


def _bars(progress: bool | None) -> _Bars | None:
    if progress is False or (progress is None and not _is_seen()):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if progress:
            raise ImportError(
                'progress=True needs the package tqdm: pip install "tadpool[progress]"'
            ) from None
        return None
    return _Bars(tqdm)


def _is_seen() -> bool:
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


class _Bars:
    """One bar at a time."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._bar is None or what != self._what:
            self.close()
            self._what = what
            self._bar = self._tqdm(total=total, desc=what, leave=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
