"""Counter, Gauge and Histogram: numbers that a program keeps about itself.

They are recorded in the process that records them and **exported nowhere yet**: `snapshot()` reads
them, in the same process. Two metrics of the same name and kind are one.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Sequence
from typing import Any

#: Tag values in the order of a metric's tag keys.
Tags = tuple[str, ...]

_lock = threading.Lock()  # guards _series and everything in it
_series: dict[str, tuple[type[Metric], dict[Tags, Any]]] = {}


def snapshot() -> dict[str, dict[Tags, Any]]:
    """The value of each metric of this process by name and tag values.

    A histogram's is {"count", "sum", "buckets"}, the last with one number more than there are
    boundaries: how many observations were at most as large as each, and how many larger than all.
    """
    with _lock:
        return {
            name: {tags: _copy(value) for tags, value in values.items()}
            for name, (_, values) in _series.items()
        }


class Metric:
    """What all metrics have: a name, and tags whose values are given with each record or as
    defaults.

    Raises ValueError for an empty name or one that a metric of another kind has, TypeError for
    tag keys that are not a tuple of strings.
    """

    def __init__(
        self, name: str, description: str = "", tag_keys: tuple[str, ...] | None = None
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"The name of a metric must be a str, got {type(name)}.")
        if not name:
            raise ValueError("Empty name is not allowed. Please provide a metric name.")
        keys = () if tag_keys is None else tag_keys
        if not isinstance(keys, tuple):
            raise TypeError(f"tag_keys should be a tuple type, got: {type(keys)}")
        for key in keys:
            if not isinstance(key, str):
                raise TypeError(f"Tag keys must be str, got {type(key)}.")
        self._name = name
        self._description = description
        self._tag_keys = keys
        self._default_tags: dict[str, str] = {}
        with _lock:
            kind, self._values = _series.setdefault(name, (type(self), {}))
        if kind is not type(self):
            raise ValueError(f"there is a {kind.__name__} called {name!r} already")

    def set_default_tags(self, default_tags: dict[str, str]) -> Metric:
        """Values for tags that a record doesn't give. Returns the metric.

        Raises ValueError for a tag key that was not declared, TypeError for a value that isn't a
        string.
        """
        for key, value in default_tags.items():
            if key not in self._tag_keys:
                raise ValueError(f"Unrecognized tag key {key}.")
            _check_tag(value)
        self._default_tags = dict(default_tags)
        return self

    @property
    def info(self) -> dict[str, Any]:
        """What it was made with."""
        return {
            "name": self._name,
            "description": self._description,
            "tag_keys": self._tag_keys,
            "default_tags": self._default_tags,
        }

    def snapshot(self) -> dict[Tags, Any]:
        """The values by tag values; see the module's `snapshot`."""
        with _lock:
            return {tags: _copy(value) for tags, value in self._values.items()}

    def _tags(self, given: dict[str, str] | None) -> Tags:
        for value in (given or {}).values():
            _check_tag(value)
        tags = {**self._default_tags, **(given or {})}
        missing = [key for key in self._tag_keys if key not in tags]
        if missing:
            raise ValueError(f"Missing value for tag key(s): {','.join(missing)}.")
        return tuple(tags[key] for key in self._tag_keys)

    def __reduce__(self) -> Any:
        made = (self._name, self._description, self._tag_keys)
        return type(self), made, {"_default_tags": self._default_tags}


class Counter(Metric):
    """A number that only grows."""

    def inc(self, value: int | float = 1.0, tags: dict[str, str] | None = None) -> None:
        """Add `value`. Raises ValueError unless it is positive."""
        _check_number(value)
        if value <= 0:
            raise ValueError(f"value must be >0, got {value}")
        place = self._tags(tags)
        with _lock:
            self._values[place] = self._values.get(place, 0.0) + value


class Gauge(Metric):
    """A number that goes up and down: the last one counts."""

    def set(self, value: int | float | None, tags: dict[str, str] | None = None) -> None:
        """Replace the value; None changes nothing."""
        if value is None:
            return
        _check_number(value)
        place = self._tags(tags)
        with _lock:
            self._values[place] = float(value)


class Histogram(Metric):
    """How many observations fell between which boundaries. Raises ValueError for boundaries that
    are missing or not positive."""

    def __init__(
        self,
        name: str,
        description: str = "",
        boundaries: Sequence[float] | None = None,
        tag_keys: tuple[str, ...] | None = None,
    ) -> None:
        if not boundaries:
            raise ValueError(
                "boundaries argument should be provided when using the Histogram class. "
                'e.g., Histogram("name", boundaries=[1.0, 2.0])'
            )
        for index, boundary in enumerate(boundaries):
            if boundary <= 0:
                raise ValueError(
                    f"Invalid `boundaries` argument at index {index}, {boundaries}. Use positive "
                    "values for the arguments."
                )
        super().__init__(name, description, tag_keys)
        self.boundaries = list(boundaries)
        self._sorted = sorted(boundaries)

    @property
    def info(self) -> dict[str, Any]:
        """What it was made with."""
        return {**super().info, "boundaries": self.boundaries}

    def observe(self, value: int | float, tags: dict[str, str] | None = None) -> None:
        """Count `value` in its bucket."""
        _check_number(value)
        place = self._tags(tags)
        with _lock:
            seen = self._values.setdefault(
                place, {"count": 0, "sum": 0.0, "buckets": [0] * (len(self._sorted) + 1)}
            )
            seen["count"] += 1
            seen["sum"] += value
            seen["buckets"][bisect.bisect_left(self._sorted, value)] += 1

    def __reduce__(self) -> Any:
        made = (self._name, self._description, self.boundaries, self._tag_keys)
        return type(self), made, {"_default_tags": self._default_tags}


def _copy(value: Any) -> Any:
    return {**value, "buckets": list(value["buckets"])} if isinstance(value, dict) else value


def _check_tag(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"Tag values must be str, got {type(value)}.")


def _check_number(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"value must be int or float, got {type(value)}.")


__all__ = ["Counter", "Gauge", "Histogram", "Metric", "snapshot"]
