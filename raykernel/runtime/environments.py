"""What a worker does to itself so that its process is what its runtime environment asks for.

Called in a worker's main thread, before it connects. Variables, directories and modules are
settings of the running process. Packages (`pip`) are more: what the zygote has imported can't be
imported again in another version. So the worker makes sure that a virtual environment with these
packages exists, and then replaces itself by that environment's own Python, under the same process
id (fresh.py goes on there):

    zygote ── forks ──▶ worker ── pip ──▶ <cache>/raykernel/envs/<hash>/ ── exec ──▶ worker

An environment is made once per list of packages, Python and installed base, and kept: the next
worker, also of another session, finds it. It sees all that the driver's Python has installed, and
what pip puts into it comes first. It is made in its place, since scripts and `pyvenv.cfg` hold its
path, under a file lock; only the mark that is set last makes it valid, and what lies there without
it, from an installation that was killed, is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from . import messages as m
from .settings import Settings
from .wire import encode

_COMPLETE = "complete"  # the mark of a valid environment
_LIMIT = 600.0  # seconds, where `config` doesn't say
_LAST_LINES = 20  # of pip's output, for the error
_LAST_CHARACTERS = 4000
_SITES = ("site-packages", "dist-packages")

# The driver's path, in which the environment's own directories come before all that is installed.
_BOOT = f"""
import json, sys
settings, worker, env, path = sys.argv[1:]
del sys.argv[1:]
path = json.loads(path)
own = [p for p in sys.path if p and p not in path]
at = next((i for i, p in enumerate(path) if p.endswith({_SITES!r})), len(path))
sys.path[:] = path[:at] + own + path[at:]
import raykernel
from raykernel.runtime.fresh import main
main(settings, worker, env)
"""


class SetupFailed(Exception):
    """The environment can't be had; the text says why."""


def apply_environment(env: str) -> None:
    """Apply a runtime environment's variables and directories to this process."""
    if not env:
        return
    wanted = msgspec.json.decode(env)
    set_variables(wanted.get("env_vars", {}))
    folder = wanted.get("working_dir")
    if folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
    for path in reversed(wanted.get("py_modules", [])):
        sys.path.insert(0, path)


def set_variables(variables: dict[str, str]) -> None:
    """Set environment variables; `${NAME}` in one stands for what NAME was before."""
    for name, value in variables.items():
        os.environ[name] = os.path.expandvars(value)


def has_packages(env: str) -> bool:
    return bool(env) and "pip" in msgspec.json.decode(env)


def enter(settings: Settings, worker_id: bytes, env: str, inherited: dict[str, str]) -> None:
    """Go on as a worker in the virtual environment of `env`, made first if need be: minutes.

    `inherited` are the process's variables before those of job and environment, which the next
    Python sets itself. Returns only if that failed, when the head knows why and the worker must
    leave. Raises OSError if the head can't be told.
    """
    try:
        folder = virtual_environment(msgspec.json.decode(env), settings.path)
        _become(folder, settings, worker_id, env, inherited)
    except (SetupFailed, OSError, subprocess.SubprocessError) as error:
        print(f"failed to set up the runtime environment: {error}", file=sys.stderr, flush=True)
        _tell(settings, worker_id, str(error))


def _become(
    folder: Path, settings: Settings, worker_id: bytes, env: str, inherited: dict[str, str]
) -> NoReturn:
    python = str(folder / "bin" / "python")
    arguments = [
        python, "-c", _BOOT, msgspec.json.encode(settings).decode(), worker_id.hex(), env,
        json.dumps(settings.path),
    ]  # fmt: skip
    os.execve(python, arguments, _activated(folder, inherited))


def _tell(settings: Settings, worker_id: bytes, trouble: str) -> None:
    """Tell the head why this worker won't come, and wait until it knows."""
    hello = m.Hello("worker", worker_id, os.getpid(), settings.namespace, trouble)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(os.path.join(settings.folder, "head.sock"))
        sock.sendall(encode([hello]))
        sock.recv(1)  # its word to leave, or its end


# -- virtual environments -------------------------------------------------------------------------


def virtual_environment(wanted: dict[str, Any], path: list[str]) -> Path:
    """The folder of the virtual environment that `wanted["pip"]` describes. Blocks while it is
    made, here or by another process.

    `path`: the driver's `sys.path`. Raises SetupFailed, OSError.
    """
    pip = wanted["pip"]
    limit = float(wanted.get("config", {}).get("setup_timeout_seconds", _LIMIT))
    sites = [p for p in path if p.endswith(_SITES)]
    facts = [pip, sys.version, sys.prefix, sites, list(_stamps(pip["packages"]))]
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache() / name
    if not (folder / _COMPLETE).exists():
        with _sole_maker(folder):
            if not (folder / _COMPLETE).exists():
                _make(folder, pip, sites, limit)
    return folder


def cache() -> Path:
    """Where this user's virtual environments are kept, made on demand."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "raykernel" / "envs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def _sole_maker(folder: Path) -> Iterator[None]:
    """Hold the lock of an environment. What failed while we waited for it has failed for us too:
    as many workers as there are tasks ask at once, and need not all try."""
    began = time.time()
    with folder.with_name(f"{folder.name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the file's end, and so by the process's
        if os.fstat(lock.fileno()).st_mtime >= began:
            lock.seek(0)
            trouble = lock.read()
            if trouble:
                raise SetupFailed(trouble)
        try:
            yield
        except SetupFailed as error:
            lock.truncate(0)
            lock.write(str(error))
            raise


def _make(folder: Path, pip: dict[str, Any], sites: list[str], limit: float) -> None:
    """Make an environment. The caller holds its lock."""
    shutil.rmtree(folder, ignore_errors=True)
    deadline = time.monotonic() + limit if limit >= 0 else None
    try:
        _install(folder, pip, sites, deadline)
    except subprocess.TimeoutExpired:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupFailed(
            f"pip was not done after {limit:g} s, which "
            "runtime_env['config']['setup_timeout_seconds'] says"
        ) from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _COMPLETE).touch()


def _install(folder: Path, pip: dict[str, Any], sites: list[str], deadline: float | None) -> None:
    builder = venv.EnvBuilder(symlinks=True)
    builder.create(folder)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    own = folder / "lib" / version / "site-packages"
    # rather than `system_site_packages`, which in a virtual environment means its base's
    base = "import site; " + "; ".join(f"site.addsitedir({site!r})" for site in sites)
    (own / "_driver.pth").write_text(f"{base}\n")
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{line}\n" for line in pip["packages"]))
    python = str(folder / "bin" / "python")
    env = _activated(folder, dict(os.environ))
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if find_spec("pip") is None:
        _run([python, "-m", "ensurepip"], env, deadline)
    if pip.get("pip_version"):
        _run([*install, f"pip{pip['pip_version']}"], env, deadline)
    options = pip.get("pip_install_options", [])
    _run([*install, *options, "-r", str(requirements)], env, deadline)
    if pip.get("pip_check"):
        _run([python, "-m", "pip", "check", "--disable-pip-version-check"], env, deadline)


def _run(command: list[str], env: dict[str, str], deadline: float | None) -> None:
    """Raises SetupFailed, subprocess.TimeoutExpired."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=env, text=True, errors="replace", check=False,
        timeout=None if deadline is None else max(0.0, deadline - time.monotonic()),
    )  # fmt: skip
    print(done.stdout, flush=True)  # into the worker's log
    if done.returncode:
        words = done.stdout.strip().splitlines()[-_LAST_LINES:]
        last = "\n  ".join(words or ["(none)"])[-_LAST_CHARACTERS:]
        what = " ".join(command[2:4])
        raise SetupFailed(
            f"{what} ended with exit code {done.returncode}. Its last words:\n  {last}"
        )


def _activated(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """The variables with which programs find the environment's Python and scripts."""
    path = variables.get("PATH", os.defpath)
    out = {**variables, "VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{path}"}
    out.pop("PYTHONHOME", None)
    return out


def _stamps(packages: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of each file that the requirements name, so that a wheel built anew is
    installed anew. Of a source folder: of its files, without what building leaves in it."""
    for line in packages:
        place = line.split(" ;")[0].split("[")[0]
        if line.startswith("-"):
            place = line.replace("=", " ", 1).partition(" ")[2].strip()
        if not os.path.isabs(place):
            continue
        files = [place]
        if os.path.isdir(place):
            files = []
            for folder, inner, names in os.walk(place):
                inner[:] = sorted(n for n in inner if not _built(n))
                files += [os.path.join(folder, name) for name in sorted(names)]
        for file in files:
            if os.path.isfile(file):
                status = os.stat(file)
                yield file, status.st_size, status.st_mtime_ns


def _built(name: str) -> bool:
    return name.startswith(".") or name in ("build", "__pycache__") or name.endswith(".egg-info")
