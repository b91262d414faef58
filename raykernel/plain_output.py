"""Tasks' output, progress bars and the engine's warnings, in a program that is no notebook.

Runs in the engine's IO thread. Somebody else may take it over, as the notebook layer does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from raykernel.runtime.engines.base import ApiEngine
from raykernel.runtime.events import BarInfo, LogLine

_log_to_driver = True
_log_handled_elsewhere = 0
logger = logging.getLogger("raykernel")


def attach(engine: ApiEngine, log_to_driver: bool) -> None:
    """Show what comes from this engine from here on."""
    global _log_to_driver
    _log_to_driver = log_to_driver
    engine.on_log(_print_log)
    engine.on_bars(_draw_bars)
    engine.on_warning(_warn)


def take_over_logs() -> Callable[[], None]:
    """Somebody else shows what tasks print (the notebook layer). Returns the way back."""
    global _log_handled_elsewhere
    _log_handled_elsewhere += 1

    def give_back() -> None:
        global _log_handled_elsewhere
        _log_handled_elsewhere -= 1

    return give_back


def shows_logs() -> bool:
    """Whether this session was started with `log_to_driver`."""
    return _log_to_driver


def _print_log(line: LogLine) -> None:
    if not _log_to_driver or _log_handled_elsewhere:
        return
    _hide_bars()
    stream = sys.stderr if line.stream == "stderr" else sys.stdout
    label = f"({line.name or 'worker'} pid={line.worker})"
    for text in line.text.splitlines() * line.times:
        print(f"{label} {text}", file=stream)


def _draw_bars(bars: list[BarInfo]) -> None:
    if _log_to_driver and not _log_handled_elsewhere:
        from raykernel.barlines import default_lines  # for the few whose tasks have bars

        default_lines().show(bars)


def _hide_bars() -> None:
    lines = sys.modules.get("raykernel.barlines")
    if lines is not None:
        lines.default_lines().hide()


def _warn(text: str) -> None:
    logger.warning(text)
