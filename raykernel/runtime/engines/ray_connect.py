"""On the way to a Ray cluster: where it is, whether it answers, whether both sides fit.

Everything that can be known before Ray is asked to connect is looked at first, since Ray itself
waits long and says little: a plain TCP connection within `PATIENCE`, then the versions that the
cluster's own metadata tell. raykernel travels to the cluster by itself, with what it needs: nothing
is installed there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

PATIENCE = 9.0  # seconds in all: within 10 it is told
_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
_CURRENT = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
_CLIENT_PORT = 10001
#: A client's first words in HTTP/2: the preface and empty settings, to which settings are answered.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_HEAD, _SETTINGS = 9, 4
_ASKED = "a greeting in HTTP/2"
#: What raykernel needs on the cluster besides Ray.
_TRAVELS = ("raykernel", "msgspec", "cloudpickle")


def is_rays(address: str | None) -> bool:
    """Whether this is the address of a Ray cluster."""
    if not address:
        return False
    return address.startswith("ray://") or _HOST_PORT.fullmatch(address) is not None


def current() -> str:
    """The cluster of this machine that Ray's "auto" means, "" if there is none."""
    told = os.environ.get("RAY_ADDRESS", "")
    if told and told not in ("auto", "local"):
        return told
    try:
        return _CURRENT.read_text().strip()
    except OSError:
        return ""


def split(address: str) -> tuple[str, int]:
    """Host and port. Raises ConnectionError."""
    plain = address.removeprefix("ray://").rstrip("/")
    found = _HOST_PORT.fullmatch(plain)
    if found is None and address.startswith("ray://") and plain and ":" not in plain:
        return plain, _CLIENT_PORT
    if found is None or not 0 < int(found[2]) < 65536:
        raise ConnectionError(
            f"{address!r} is no address of a Ray cluster: give HOST:PORT (of its head, usually "
            "port 6379), ray://HOST:10001, or auto"
        )
    return found[1].strip("[]"), int(found[2])


def check_reachable(address: str, patience: float | None = None) -> None:
    """Raises ConnectionError within `patience` seconds unless a server of Ray's answers there."""
    host, port = split(address)
    patience = PATIENCE if patience is None else patience
    failed: list[BaseException | None] = [TimeoutError(f"no answer within {patience:g} s")]

    def attempt() -> None:  # in a thread: looking up a name knows no time limit
        try:
            _greet((host, port), patience)
            failed[0] = None
        except OSError as error:
            failed[0] = error

    thread = threading.Thread(target=attempt, name="raykernel-reach", daemon=True)
    thread.start()
    thread.join(patience)
    if failed[0] is not None:
        raise ConnectionError(
            f"there is no Ray cluster at {address}: {failed[0]}. `ray status` on its head tells "
            "whether it runs; `ray start --head` starts one"
        )


def _greet(address: tuple[str, int], patience: float) -> None:
    """Raises OSError unless who listens there greets as HTTP/2, the language of Ray's servers, does
    (RFC 9113, 3.4). Ray itself, sent to something else, would look for it for a minute, and then
    end this process."""
    end = time.monotonic() + patience
    with socket.create_connection(address, patience) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return  # it greets in cipher
        connection.sendall(_PREFACE)
        heard = b""
        while len(heard) < _FRAME_HEAD:
            connection.settimeout(max(0.01, end - time.monotonic()))
            try:
                more = connection.recv(_FRAME_HEAD - len(heard))
            except TimeoutError:
                raise TimeoutError(
                    f"somebody listens there and gave no answer within {patience:g} s"
                ) from None
            if not more:
                raise ConnectionError(f"what listens there hung up on {_ASKED}")
            heard += more
    if heard[3] != _SETTINGS:
        raise ConnectionError(f"what listens there is no server of Ray's: it answers {heard!r}")


def check_client(address: str, ray_version: str, patience: float = PATIENCE) -> None:
    """Raises ConnectionError unless a server speaks gRPC there, as the one for Ray's client does.
    What it runs that client compares by itself."""
    try:
        grpc = importlib.import_module("grpc")
        connect = grpc.insecure_channel  # a folder of that name alone is no grpcio
    except (ImportError, AttributeError):
        raise ConnectionError(
            f"{address} is reached by Ray's client, which needs grpcio here: `{sys.executable} -m "
            f"pip install 'ray[client]=={ray_version}'`. HOST:6379 does without it"
        ) from None
    host, port = split(address)
    channel = connect(f"{host}:{port}")
    try:
        grpc.channel_ready_future(channel).result(timeout=patience)
    except grpc.FutureTimeoutError:
        raise ConnectionError(
            f"what listens at {address} gave no answer as a Ray cluster's client server within "
            f"{patience:g} s: `ray start --head` starts one, on port {_CLIENT_PORT} unless told "
            "otherwise"
        ) from None
    finally:
        channel.close()


def within(patience: float, call: Any, address: str, what: str) -> Any:
    """What `call()` returns or raises; ConnectionError if it takes longer than `patience`."""
    done: list[Any] = []

    def run() -> None:
        try:
            done.append((call(), None))
        except BaseException as error:
            done.append((None, error))

    thread = threading.Thread(target=run, name="raykernel-connect", daemon=True)
    thread.start()
    thread.join(patience)
    if not done:
        raise ConnectionError(
            f"the Ray cluster at {address} does not answer: {what} took longer than {patience:g} s"
        )
    found, error = done[0]
    if error is not None:
        raise error
    return found


def refused(address: str, error: BaseException) -> ConnectionError:
    """What to raise for what Ray raised."""
    if type(error).__name__ == "AuthenticationError":
        return ConnectionError(
            f"the Ray cluster at {address} lets nobody in without its token: "
            "`%env RAY_AUTH_MODE=token`, and what `ray get-auth-token` prints on its head in "
            "~/.ray/auth_token here (or `%env RAY_AUTH_TOKEN=...`); then connect again"
        )
    text = str(error).partition("\n")[0]
    return ConnectionError(f"the Ray cluster at {address} refused: {text}")


def check_versions(address: str, told: dict[str, Any], ray_version: str) -> None:
    """Raises ConnectionError, with the command that mends it, if the two sides can't talk.

    `told` is what the cluster says of itself: ray_version, python_version.
    """
    theirs = str(told.get("python_version") or "")
    mine = platform.python_version()
    ray_there = str(told.get("ray_version") or "")
    if theirs and theirs.split(".")[:2] != mine.split(".")[:2]:
        minor = ".".join(theirs.split(".")[:2])
        raise ConnectionError(
            f"the Ray cluster at {address} runs Python {theirs}, this is {mine}: functions can't "
            f"travel between them. Use an environment of its Python: `python{minor} -m venv "
            f"ray-{minor} && ray-{minor}/bin/pip install 'raykernel[ray]' 'ray=={ray_there}'`"
        )
    if ray_there and ray_there != ray_version:
        raise ConnectionError(
            f"the Ray cluster at {address} runs Ray {ray_there}, here is {ray_version}: Ray needs "
            f"the same on both sides. `{sys.executable} -m pip install 'ray=={ray_there}'`"
        )


def check_worker(address: str, there: dict[str, str]) -> list[str]:
    """The same for what only a worker can tell; what is to be warned of. Raises ConnectionError."""
    here = versions()
    if there["platform"] != here["platform"]:
        raise ConnectionError(
            f"the Ray cluster at {address} runs on {there['platform']}, this is "
            f"{here['platform']}: raykernel's compiled parts can't travel between them. Install it "
            f"on the cluster's nodes: `pip install raykernel=={here['raykernel']}`"
        )
    if there["cloudpickle"].split(".")[0] != here["cloudpickle"].split(".")[0]:
        raise ConnectionError(
            f"the Ray cluster at {address} has cloudpickle {there['cloudpickle']}, here is "
            f"{here['cloudpickle']}: functions can't travel between them. `{sys.executable} -m pip "
            f"install 'cloudpickle=={there['cloudpickle']}'`"
        )
    warnings = []
    mine, theirs = here["pyarrow"], there["pyarrow"]
    if mine and not theirs:
        warnings.append(
            f"The Ray cluster at {address} has no pyarrow: Arrow tables can't be read there. On "
            f"its nodes: `pip install 'pyarrow=={mine}'`."
        )
    elif mine and mine.split(".")[0] != theirs.split(".")[0]:
        warnings.append(
            f"The Ray cluster at {address} has pyarrow {theirs}, here is {mine}: pickled Arrow "
            f"objects may not load. `{sys.executable} -m pip install 'pyarrow=={theirs}'`."
        )
    return warnings


def versions() -> dict[str, str]:
    """What this process runs. Called on both sides."""
    from importlib.metadata import PackageNotFoundError, version

    import cloudpickle

    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "raykernel": str(sys.modules["raykernel"].__version__),
        "cloudpickle": str(cloudpickle.__version__),
        "pyarrow": of("pyarrow"),
    }


def travelling() -> list[str]:
    """The directories and files that raykernel needs on the cluster."""
    names = list(_TRAVELS)
    if sys.version_info < (3, 11):
        names.append("typing_extensions")
    found = []
    for name in names:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        origin = spec.origin or ""
        assert origin
        found.append(os.path.dirname(origin) if spec.submodule_search_locations else origin)
    return found


def environment(asked: Any, session: str, namespace: str, keeps: bool) -> dict[str, Any]:
    """The job's runtime environment: the user's, and raykernel itself. `keeps`: the variables of
    failed tasks are."""
    made = dict(asked or {})
    made["py_modules"] = [*made.get("py_modules", ()), *travelling()]
    variables = made.get("env_vars") or {}
    told = json.dumps([session, namespace, variables, keeps])
    made["env_vars"] = {**variables, "RAYKERNEL_ON_RAY": told}
    made.setdefault("excludes", ["**/__pycache__"])
    return made
