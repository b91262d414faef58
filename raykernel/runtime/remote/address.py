"""The connection file: all that a driver needs to reach a head, and to be let in.

    {"kind": "raykernel-head", "address": "tcp://host:port", "server_key": ..., "public_key": ...,
     "secret_key": ..., "session": ..., "python": "3.11", "raykernel": "0.1.0"}

Whoever has it can run code on the head's machine as its user: it is written with mode 0600, in one
step, and goes with the command that wrote it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from raykernel.runtime.attach import Build

KIND = "raykernel-head"
_LARGEST = 1 << 16  # bytes; no connection file is near that
_PLACE = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\s/:@\[\]]+):\d{1,5}")
_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")  # Z85, of 32 bytes


class AddressError(Exception):
    """A connection file, or what it leads to, is of no use; the text says why and what to do."""


class Address(msgspec.Struct, frozen=True):
    """See the head comment. The keys are CURVE's, in Z85."""

    address: str
    server_key: str
    public_key: str
    secret_key: str
    session: str
    python: str
    raykernel: str
    kind: str = KIND


def parse(text: bytes | str, where: str) -> Address:
    """Raises AddressError."""
    try:
        found = msgspec.json.decode(text, type=Address)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AddressError(f"{where} is no connection file of a raykernel head: {error}") from None
    if found.kind != KIND:
        raise AddressError(f"{where} is no connection file of a raykernel head")
    if not _PLACE.fullmatch(found.address):
        raise AddressError(f"{where} is of no use: {found.address!r} is no address tcp://HOST:PORT")
    for name in ("server_key", "public_key", "secret_key"):
        if not _KEY.fullmatch(getattr(found, name)):
            raise AddressError(
                f"{where} is of no use: its {name} is no key. Copy it anew from the head's machine"
            )
    return found


def is_file(address: str) -> bool:
    """Whether an address names a connection file, and not a session."""
    if os.path.basename(address) == "session.json" or "://" in address:
        return False
    return address.endswith(".json") or (os.sep in address and os.path.isfile(address))


def read(path: str) -> Address:
    """Raises AddressError, also if others can read the file."""
    try:
        with Path(path).expanduser().open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_LARGEST)
    except OSError as error:
        raise AddressError(
            f"the connection file {path} can't be read: {error.strerror}. `raykernel head` writes "
            "it on the head's machine: copy it from there"
        ) from None
    if mode & 0o077:
        raise AddressError(
            f"others can read {path} (its mode is {mode:04o}), which lets them in at the head: "
            f"`chmod 600 {path}`, and if somebody may have read it, start the head anew"
        )
    return parse(text, path)


def write(path: Path, address: Address) -> None:
    """In one step, for this user's eyes only. Raises OSError."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(address), indent=2) + b"\n")
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def why_not(address: Address, mine: Build) -> str:
    """Why this Python can't use that head, and what mends it; "" if it can."""
    if (address.python, address.raykernel) == (mine.python, mine.raykernel):
        return ""
    text = (
        f"the head at {address.address} runs Python {address.python} and raykernel "
        f"{address.raykernel}, and this is Python {mine.python} and raykernel {mine.raykernel}: "
        "they can't read each other's functions. "
    )
    if address.python != mine.python:
        return text + (
            f"Start the head with this Python's version there (`python{mine.python} -m raykernel "
            f"head ...`), or this notebook with Python {address.python}"
        )
    return text + f"Install the head's version here: `pip install raykernel=={address.raykernel}`"
