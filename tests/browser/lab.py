"""A Jupyter server of the test's own, and a notebook in it as a person at a browser sees it.

    serving(folder)  ──▶  Lab       the server, 127.0.0.1, with a token, on one folder; its page is
                                    JupyterLab, or Notebook 7, which is made of the same parts
    browsing(path)   ──▶  Browser   headless Chromium
    NotebookPage(page, lab, name)   one notebook, open in one page

The server reads and writes nothing of its user's: configuration, settings, signatures, history
and the files that tell running servers apart lie in a hidden folder inside `folder`. When the
`with` ends, the server is told by its process id, and it ends its kernels.

What a person sees or presses is found in the page. What they can't see, such as whether the
kernel is idle, is asked of JupyterLab's own application object, the same from 4.1 on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen
from uuid import uuid4

import nbformat
import psutil
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
#: The pages that a notebook is tried in: the server's module, and its application's class.
FRONTS = {"lab": ("jupyterlab", "LabApp"), "notebook": ("notebook", "JupyterNotebookApp")}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Seconds that a server, a page or a kernel may take on a busy machine. Not what a test measures.
PATIENCE = 90.0
_SERVER_ENDS_IN = 30.0
_OWN = ".own"  # the folder inside `folder` for what the server writes

#: No request to the internet, and nothing popping up over the notebook.
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
        "doNotDisturbMode": True,
    },
}


def until(true: Callable[[], Any], complaint: str, seconds: float = PATIENCE) -> Any:
    """Ask again and again until the answer is true, and return it."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < end, f"{complaint} within {seconds:.0f} s"
        time.sleep(0.05)
    return answer


def find_chromium() -> str:
    """The path of a Chromium or Chrome; without one a LookupError that says what to do."""
    on_path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if on_path:
        return on_path
    with sync_playwright() as playwright:
        downloaded = playwright.chromium.executable_path
    if Path(downloaded).exists():
        return downloaded
    raise LookupError(
        f"no Chromium was found, neither on PATH ({', '.join(CHROMIUM_NAMES)}) nor where "
        "Playwright puts its own. Install one with `apt-get install chromium` or "
        "`playwright install --with-deps chromium`."
    )


@contextmanager
def browsing(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Lab:
    """A running server. `url` ends without a slash; `front` is one of `FRONTS`."""

    def __init__(self, folder: Path, url: str, token: str, front: str = "lab") -> None:
        self.folder = folder
        self.url = url
        self.token = token
        self.front = front

    def ask(self, path: str, method: str = "GET") -> Any:
        """The server's answer to a request of its REST interface."""
        head = {"Authorization": f"token {self.token}"}
        with urlopen(
            Request(f"{self.url}/api/{path}", method=method, headers=head), timeout=30
        ) as a:
            return json.loads(a.read() or b"null")

    def write(self, name: str, *sources: str) -> None:
        """Put a notebook of code cells into `folder`."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in sources],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.folder / name)

    def configure_kernels(self, config: str) -> None:
        """Give the kernels that start from now on a configuration file with this content."""
        file = self.folder / _OWN / "ipython" / "profile_default" / "ipython_kernel_config.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(config)

    def address(self, name: str) -> str:
        """Where a browser finds a notebook of `folder`, in a workspace as nobody left it."""
        if self.front == "notebook":
            return f"{self.url}/notebooks/{quote(name)}?token={self.token}"
        return f"{self.url}/lab/tree/{quote(name)}?token={self.token}&reset"

    def end_kernels(self) -> None:
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")
        until(lambda: not self.ask("kernels"), "the kernels did not end")


@contextmanager
def serving(folder: Path, front: str = "lab") -> Iterator[Lab]:
    """A server whose kernels import this checkout's raykernel."""
    module, application = FRONTS[front]
    own = folder / _OWN
    runtime, settings = own / "runtime", own / "settings"
    for name, values in _SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    token = uuid4().hex
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_TOKEN": token,
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
        "IPYTHONDIR": str(own / "ipython"),
        "RAYKERNEL_SESSION_TTL": "0",  # else a session waits for its notebook to be opened again
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    command = [
        *(sys.executable, "-m", module, "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={folder}"),
        f"--{application}.expose_app_in_browser=True",
    ]
    log = own / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Lab(folder, _answering(server, runtime, log), token, front)
    finally:
        _end(server)


def _answering(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server answers; returns its address, which it writes down once it has one."""
    description = runtime / f"jpserver-{server.pid}.json"

    def address() -> str:
        assert server.poll() is None, f"JupyterLab ended unasked:\n{log.read_text()}"
        try:
            url = str(json.loads(description.read_text())["url"]).rstrip("/")
            with urlopen(f"{url}/api", timeout=5):
                return url
        except (OSError, ValueError, URLError):
            return ""

    return str(until(address, f"JupyterLab does not answer, see {log}"))


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started that outlives it."""
    started = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.terminate()
    try:
        server.wait(_SERVER_ENDS_IN)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    _, alive = psutil.wait_procs(started, timeout=_SERVER_ENDS_IN)
    for process in alive:
        process.kill()


class NotebookPage:
    """A notebook that is open in a browser page."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.lab = lab
        self.name = name
        self.path = lab.folder / name
        self._complaints: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complaints.append(f"{message.text} {message.location}")

    def complaints(self) -> list[str]:
        """Errors in the page so far that name raykernel, anywidget or widgets.

        But what anywidget says two seconds after a model was closed before it was loaded, as that
        of a progress that settles as soon as it is shown.
        """
        ours = [text for text in self._complaints if re.search("raykernel|widget|blob:", text)]
        return [text for text in ours if "[anywidget] Failed to initialize model." not in text]

    # -- as a whole ----------------------------------------------------------------------------

    def open(self) -> None:
        """Open the notebook, and wait until it is drawn and its kernel idle."""
        self.page.goto(self.lab.address(self.name))
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self._wait(f"{_PANEL}.sessionContext.session?.kernel?.status === 'idle'")

    def open_without_kernel(self) -> None:
        """Open the notebook where no kernel can be started, as on a colleague's machine."""
        none = json.dumps({"default": "", "kernelspecs": {}})
        self.page.route(
            "**/api/kernelspecs*", lambda route: route.fulfill(body=none, content_type=_JSON)
        )
        self.page.goto(self.lab.address(self.name))
        self.page.locator(".jp-Dialog button", has_text="No Kernel").click()
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def command(self, name: str, **arguments: Any) -> None:
        """Run a command of JupyterLab's, as its menus do. Does not wait for cells."""
        self.page.evaluate(
            "([name, given]) => { window.jupyterapp.commands.execute(name, given); }",
            [name, arguments],
        )

    def save(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def wait_until_idle(self, seconds: float = PATIENCE) -> None:
        """Wait until every cell that was asked for has run."""
        idle = f"{_PANEL}.sessionContext.session.kernel.status === 'idle'"
        self._wait(f"{idle} && !{_CELLS}.some((cell) => {_WAITS})", seconds)

    def _wait(self, expression: str, seconds: float = PATIENCE) -> None:
        self.page.wait_for_function(f"() => {expression}", timeout=seconds * 1000)

    # -- its cells -----------------------------------------------------------------------------

    def find(self, text: str, whole: bool = False) -> int:
        """The number of the one cell whose source contains the text, or is it."""
        sources: list[str] = self.page.evaluate(
            f"() => {_CELLS}.map((cell) => cell.model.sharedModel.getSource())"
        )
        found = [
            n for n, source in enumerate(sources) if (source == text if whole else text in source)
        ]
        assert len(found) == 1, f"{len(found)} cells contain {text!r}"
        return found[0]

    def select(self, number: int) -> None:
        """Make a cell the active one, to which commands apply, wherever it is."""
        self.page.evaluate(
            f"""(number) => {{
                const notebook = {_PANEL}.content;
                notebook.deselectAll();
                notebook.activeCellIndex = number;
                notebook.mode = 'command';
            }}""",
            number,
        )

    def show(self, number: int) -> Locator:
        """Make a cell the active one, bring it into view, and return it."""
        self.select(number)
        cell = self.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")

        def in_view() -> bool:
            # Where JupyterLab draws only what is in view, it guesses the height of all the rest,
            # and may stop short of the cell. Then go on as one does by hand, a page at a time.
            self.page.evaluate(
                """() => {
                    const pages = document.querySelector('.jp-WindowedPanel-outer');
                    if (pages) pages.scrollTop += pages.clientHeight / 2;
                }"""
            )
            return cell.is_visible()

        self.page.evaluate(f"(n) => {_PANEL}.content.scrollToItem(n, 'start')", number)
        if not cell.is_visible():
            until(in_view, f"cell {number} did not come into view")
        return cell

    def show_top(self) -> None:
        """Scroll to the notebook's beginning."""
        self.page.evaluate(f"() => {_PANEL}.content.scrollToItem(0, 'start')")

    def cell(self, number: int) -> Locator:
        """A cell that may be out of view, and then be without its parts."""
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{number}']")

    def run(self, number: int) -> Locator:
        """Ask for a cell to be run. Does not wait for it."""
        cell = self.show(number)
        self.command("notebook:run-cell")
        return cell

    def runs(self, number: int) -> bool:
        """Whether a cell runs or is waiting for its turn, by its prompt's asterisk."""
        return bool(
            self.page.evaluate(f"(n) => {{ const cell = {_CELLS}[n]; return {_WAITS}; }}", number)
        )

    def seconds_to_end(self, number: int, button: Locator) -> float:
        """Press a button; returns the seconds from the click until the cell's asterisk is gone.

        Both are taken in the page, so that the way there and back does not count.
        """
        button.wait_for()
        self.page.evaluate(
            f"""(number) => {{
                const cell = {_CELLS}[number];
                window.rkSeconds = 0;
                document.addEventListener('click', () => {{
                    const pressed = performance.now();
                    const look = () => {{
                        if ({_WAITS}) setTimeout(look, 10);
                        else window.rkSeconds = (performance.now() - pressed) / 1000;
                    }};
                    look();
                }}, {{ capture: true, once: true }});
            }}""",
            number,
        )
        button.click()
        self._wait("window.rkSeconds > 0")
        return float(self.page.evaluate("() => window.rkSeconds"))

    def trusts(self, number: int) -> bool:
        return bool(self.page.evaluate(f"(n) => {_CELLS}[n].model.trusted", number))

    def append(self, source: str) -> int:
        """Add a code cell at the end; returns its number."""
        return int(
            self.page.evaluate(
                f"""(source) => {{
                    const shared = {_PANEL}.content.model.sharedModel;
                    shared.insertCell(shared.cells.length, {{cell_type: 'code', source}});
                    return shared.cells.length - 1;
                }}""",
                source,
            )
        )

    def errors_of_cells(self) -> list[str]:
        """The error outputs of all cells, in or out of view."""
        return list(
            self.page.evaluate(
                f"""() => {_CELLS}.flatMap((cell) => (cell.model.sharedModel.outputs ?? [])
                    .filter((output) => output.output_type === 'error')
                    .map((output) => `${{output.ename}}: ${{output.evalue}}`))"""
            )
        )


_PANEL = "window.jupyterapp.shell.currentWidget"
_CELLS = f"{_PANEL}.content.widgets"
_WAITS = "!!cell.inputArea?.promptNode.textContent.includes('*')"  # of a variable `cell`
_JSON = "application/json"
