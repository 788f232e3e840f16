"""What does not change: a copy of it is itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Unchanging:
    """An object that does not change."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Frozen(Unchanging, Mapping[str, Any]):
    """A dictionary that does not change."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return Frozen, (self._items,)


def frozen(value: Any) -> Any:
    """JSON as values that do not change."""
    if isinstance(value, dict):
        return Frozen({key: frozen(it) for key, it in value.items()})
    if isinstance(value, list):
        return tuple(map(frozen, value))
    return value
