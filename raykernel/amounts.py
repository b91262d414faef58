"""Amounts in words."""

from __future__ import annotations


def size(value: float) -> str:
    """As in "512 KiB" and "1.5 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
