"""What the live views cost: `python -m tests.bench.views [--browser] [--json]` at the repository's
top, on a machine that does nothing else.

    throughput   1,000 tiny tasks at once, again and again for seconds, in a real kernel: in turn
                 with nothing shown, and with progress and the graph, in one session. Each pair
                 gives a ratio; told is their median.
    CPU          what a task takes of all the session's processes and of the kernel, likewise: a
                 machine that others use too spoils this less
    bytes        what the views send to the front end in a second of it
    --browser    the same in JupyterLab in a headless Chromium, which draws the views
    --view NAME  with other views than the graph, with or without one; `none`: progress alone;
                 `nothing`: neither, which tells how much of a ratio is the machine's mood
    --bytes      instead of all that: what each view sends to the front end while 100,000 tasks run
                 beside one that prints as fast as it can, a second on average and in the fullest
                 one; and what it leaves in the file

Frames a second are measured by `pytest -s tests/browser/test_graph_frames.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.kernels import WIDGET, Kernel, kernel

SECONDS = 3.0  # so that making the views counts little
ROUNDS = 9
START = (
    "%load_ext raykernel\n%ray start -n 2",
    "import time, psutil\nimport raykernel as ray\n"
    "@ray.remote\ndef tiny(): return 1\n"
    "def cpu():\n"
    "    me = psutil.Process()\n"
    "    times = [p.cpu_times() for p in (me, *me.children(recursive=True))]\n"
    "    return sum(t.user + t.system for t in times)\n"
    "def round_of(seconds):\n"
    "    n, spent, began = 0, cpu(), time.perf_counter()\n"
    "    while time.perf_counter() - began < seconds:\n"
    "        ray.get([tiny.remote() for _ in range(1000)]); n += 1000\n"
    "    took = time.perf_counter() - began\n"
    "    return f'{n / took} {(cpu() - spent) / n}'\n"
    "_ = round_of(1)",
)
_AGAIN = "%unload_ext raykernel\n%env RAYKERNEL_PROGRESS={}\n%load_ext raykernel"
HIDE = _AGAIN.format("no")
SHOW = _AGAIN.format("yes")
VIEWS = ("graph", "timeline", "status", "memory", "logs")


FLOOD = (
    "@ray.remote\ndef chatter(seconds):\n"
    "    end, n = time.perf_counter() + seconds, 0\n"
    "    while time.perf_counter() < end:\n"
    "        n += 1; print('line', n, 'of what a chatty task has to say')\n"
    "    return n\n",
    "%%capture said\n"  # what it prints here is no view's
    "lines = chatter.remote(6)\nray.get([tiny.remote() for _ in range(100_000)])\nray.get(lines)",
)


class Outcome(NamedTuple):
    plain: float  # tasks a second, medians
    shown: float
    ratio: float  # the median of the rounds'
    worst: float
    cpu: float  # of a task without views to that of one with, the median of the rounds'
    bytes: float  # a second, to the front end

    def __str__(self) -> str:
        return (
            f"nothing shown {self.plain:,.0f} tasks/s, with the views {self.shown:,.0f}, "
            f"ratio {self.ratio:.1%} (rounds from {self.worst:.1%}), by CPU {self.cpu:.1%}; "
            f"{self.bytes / 1024:.0f} KiB/s to the front end"
        )


class Round(NamedTuple):
    rate: float  # tasks a second
    cpu: float  # seconds a task
    bytes: float  # a second


def compare(plain: Callable[[], Round], shown: Callable[[], Round]) -> Outcome:
    rounds: list[tuple[Round, Round]] = []
    for number in range(ROUNDS):  # who goes first changes, as machines warm up
        if number % 2:
            with_views = shown()
            rounds.append((plain(), with_views))
        else:
            rounds.append((plain(), shown()))
    ratios = [b.rate / a.rate for a, b in rounds]
    return Outcome(
        statistics.median(a.rate for a, _ in rounds),
        statistics.median(b.rate for _, b in rounds),
        statistics.median(ratios),
        min(ratios),
        statistics.median(a.cpu / b.cpu for a, b in rounds),
        statistics.median(b.bytes for _, b in rounds),
    )


def in_kernel(views: list[str]) -> Outcome:
    with kernel() as k:
        for code in START:
            k.run(code)
        k.run(HIDE)

        def shown() -> Round:
            if "nothing" in views:
                return round_in(k)
            k.run(SHOW)
            if "none" not in views:
                k.run(opening(views))
                answer(k)
            measured = round_in(k)
            k.run(HIDE)
            return measured

        return compare(lambda: round_in(k), shown)


def opening(views: list[str]) -> str:
    return "\n".join(f"%ray {view}" for view in views)


def answer(k: Kernel) -> None:
    """Say of each view that a browser draws it in place, as host.js does."""
    for message in list(k.messages):
        view = message["content"].get("data", {}).get(WIDGET) if message["content"] else None
        if view:
            k.press(view["model_id"], {"hello": "in place"})


def bytes_of_views() -> dict[str, tuple[float, float, float]]:
    """For each view: KiB a second, in the fullest second, and in the file."""
    found = {}
    for view in ("none", *VIEWS):
        with kernel() as k:
            for code in (*START, FLOOD[0]):
                k.run(code)
            if view != "none":
                k.run(f"%ray {view}")
                answer(k)
            k.run("import time; time.sleep(1)")
            k.messages.clear()
            k.run(FLOOD[1])
            sent = sorted((m["header"]["date"].timestamp(), size_of(m)) for m in k.messages)
            seconds = sent[-1][0] - sent[0][0]
            windows = [sum(n for at, n in sent if 0 <= at - begin < 1) for begin, _ in sent]
            k.run("time.sleep(2)")  # until the view is at rest
            forms = [m["content"]["data"] for m in k.messages if m["content"].get("data")]
            kept = max(len(json.dumps(form)) for form in forms if "text/html" in form)
            total = sum(n for _, n in sent) / seconds
            name = "progress" if view == "none" else view
            found[name] = (total / 1024, max(windows) / 1024, kept / 1024)
            if view != "none":
                k.run(HIDE)
    return found


def size_of(message: dict[str, Any]) -> int:
    if message["msg_type"] not in ("comm_msg", "display_data", "update_display_data"):
        return 0
    return len(json.dumps(message["content"], separators=(",", ":"), ensure_ascii=False).encode())


def round_in(k: Kernel) -> Round:
    """Bytes are those that came by comms and displays."""
    k.messages.clear()
    rate, cpu = told(k.text(k.run(f"print(round_of({SECONDS}))")))
    return Round(rate, cpu, sum(map(size_of, k.messages)) / SECONDS)


def told(output: str) -> tuple[float, float]:
    rate, cpu = output.strip().splitlines()[-1].split()
    return float(rate), float(cpu)


def in_browser(views: list[str]) -> Outcome:
    from tests.browser.lab import NotebookPage, browsing, find_chromium, serving

    with (
        tempfile.TemporaryDirectory(prefix="raykernel-bench-") as folder,
        serving(Path(folder)) as lab,
        browsing(find_chromium()) as browser,
    ):
        received = [0]

        def count(data: Any) -> None:
            received[0] += len(data)

        cells = [*START, HIDE, SHOW, opening(views), f"print(round_of({SECONDS}))"]
        lab.write("bench.ipynb", *cells)
        page = browser.new_page(viewport={"width": 1000, "height": 1100})
        page.on("websocket", lambda socket: socket.on("framereceived", count))
        book = NotebookPage(page, lab, "bench.ipynb")
        book.open()

        def run(cell: int) -> None:
            book.run(cell)
            book.wait_until_idle()

        def round_now() -> Round:
            received[0] = 0
            book.run(5)
            page.wait_for_timeout(1000 * SECONDS)
            took = received[0] / SECONDS
            book.wait_until_idle()
            output = page.evaluate(
                """() => window.jupyterapp.shell.currentWidget.content.widgets.at(-1)
                       .model.sharedModel.outputs.map((o) => o.text || "").join("")"""
            )
            return Round(*told(str(output)), took)

        def shown() -> Round:
            run(3)
            run(4)
            measured = round_now()
            run(2)
            return measured

        for cell in range(3):
            run(cell)
        outcome = compare(round_now, shown)
        lab.end_kernels()
        return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--browser", action="store_true", help="in JupyterLab, drawn by Chromium")
    parser.add_argument("--json", action="store_true")
    choices = (*VIEWS, "none", "nothing")
    parser.add_argument("--view", choices=choices, nargs="+", default=["graph"])
    parser.add_argument("--bytes", action="store_true", help="what each view sends and leaves")
    options = parser.parse_args()
    if options.bytes:
        found = bytes_of_views()
        for name, (mean, most, kept) in found.items() if not options.json else ():
            print(f"{name:9} {mean:4.0f} KiB/s, {most:4.0f} at most, {kept:4.0f} KiB in the file")
        if options.json:
            print(json.dumps(found))
        return
    outcome = in_browser(options.view) if options.browser else in_kernel(options.view)
    print(json.dumps(outcome._asdict()) if options.json else outcome)


if __name__ == "__main__":
    main()
