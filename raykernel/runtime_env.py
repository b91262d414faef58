"""Runtime environments: what a job, an actor or a task finds in its process.

An environment travels as canonical JSON ("" for none), which is also the key by which workers are
reused: a worker only ever serves tasks of its own environment, so nothing leaks from one to
another. What a job sets holds for all its tasks, what a task sets for those it submits; the
nearest word counts, variable by variable for `env_vars`, field by field for the rest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

_FIELDS = ("env_vars", "working_dir", "py_modules", "pip", "config")


class RuntimeEnv(dict[str, Any]):
    """A runtime environment, checked when it is made: `RuntimeEnv(env_vars={"A": "1"})`.

    Fields: `env_vars` (str to str, `${NAME}` expands), `working_dir` (a directory, for `init`
    only), `py_modules` (modules, or directories of them), `pip` (requirements, a file of them, or
    a dict of `packages`, `pip_check`, `pip_version` and `pip_install_options`: a virtual
    environment on top of what is installed here, made when first needed and kept), `config`
    (`setup_timeout_seconds`, -1 for none).
    """

    def __init__(
        self,
        *,
        env_vars: dict[str, str] | None = None,
        working_dir: str | None = None,
        py_modules: list[Any] | None = None,
        pip: str | list[str] | dict[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        given = {
            "env_vars": env_vars, "working_dir": working_dir, "py_modules": py_modules,
            "pip": pip, "config": config, **others,
        }  # fmt: skip
        given = {key: value for key, value in given.items() if value is not None}
        canonical(given)
        super().__init__(given)

    def env_vars(self) -> dict[str, str]:
        return dict(self.get("env_vars", {}))

    def working_dir(self) -> str:
        return str(self.get("working_dir", ""))

    def py_modules(self) -> list[Any]:
        return list(self.get("py_modules", []))

    def has_pip(self) -> bool:
        return bool(self.get("pip"))

    def pip_config(self) -> dict[str, Any]:
        """`pip` in its long form, with `packages`; empty if there are none."""
        return _pip(self["pip"], False) if self.has_pip() else {}

    def to_dict(self) -> dict[str, Any]:
        return dict(self)

    def serialize(self) -> str:
        return json.dumps(self, sort_keys=True)

    @classmethod
    def deserialize(cls, text: str) -> RuntimeEnv:
        return cls(**json.loads(text or "{}"))

    def __reduce__(self) -> Any:
        return _make, (dict(self),)


def _make(fields: dict[str, Any]) -> RuntimeEnv:
    return RuntimeEnv(**fields)


def canonical(value: Mapping[str, Any] | None, per_call: bool = False) -> str:
    """A runtime environment as canonical JSON, "" for none.

    `per_call`: it is a task's or an actor's, not a job's. Raises ValueError, TypeError.
    """
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"runtime_env must be a dict or a RuntimeEnv, not {type(value)}")
    out: dict[str, Any] = {}
    for key, part in (value or {}).items():
        if key not in _FIELDS:
            raise ValueError(
                f"runtime_env field {key!r} is not offered here; there are {', '.join(_FIELDS)}"
            )
        if part is not None:
            out[key] = _CHECKS[key](part, per_call)
    if not any(out.values()):
        return ""
    return json.dumps(out, sort_keys=True)


def _variables(value: Any, per_call: bool) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    ):
        raise TypeError(f"runtime_env['env_vars'] must be of type Dict[str, str], got {value!r}")
    return dict(sorted(value.items()))


def _folder(value: Any, per_call: bool) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"runtime_env['working_dir'] must be a path, not {type(value)}")
    if per_call:
        raise ValueError(
            "runtime_env['working_dir'] can't be a local directory for a single task or actor: "
            "give it to ray.init(runtime_env=...)"
        )
    path = _path(value)
    if not os.path.isdir(path):
        raise ValueError(f"runtime_env['working_dir']: {value} is not a directory")
    return path


def _modules(value: Any, per_call: bool) -> list[str]:
    """The directories from which the modules can be imported."""
    if not isinstance(value, list):
        raise TypeError(f"runtime_env['py_modules'] must be of type list, got {type(value)}")
    return [_module_home(module) for module in value]


def _module_home(module: Any) -> str:
    if isinstance(module, ModuleType):
        file = getattr(module, "__file__", None)
        if file is None:
            raise ValueError(f"runtime_env['py_modules']: {module!r} lies in no file")
        folder = os.path.dirname(os.path.abspath(file))
        return str(os.path.dirname(folder)) if hasattr(module, "__path__") else folder
    if not isinstance(module, (str, os.PathLike)):
        raise TypeError(
            f"runtime_env['py_modules'] takes modules and paths of them, not {type(module)}"
        )
    path = _path(module)
    if not os.path.exists(path):
        raise ValueError(f"runtime_env['py_modules']: there is no {os.fspath(module)}")
    return os.path.dirname(path)


def _path(place: str | os.PathLike[str]) -> str:
    """The absolute path of a local file or folder; a `file:` URI of this machine is one too."""
    text = os.fspath(place)
    if text.startswith("file://"):
        parts = urlsplit(text)
        if parts.netloc in ("", "localhost"):
            text = "/" + unquote(parts.path).lstrip("/")
    return os.path.abspath(os.path.expanduser(text))


_PIP_FIELDS: dict[str, type] = {
    "packages": object, "pip_check": bool, "pip_version": str, "pip_install_options": list,
}  # fmt: skip


def _pip(value: Any, per_call: bool) -> dict[str, Any]:
    """What is to be installed, in its long form; empty if that is nothing."""
    if not isinstance(value, Mapping):
        value = {"packages": value}
    unknown = set(value) - set(_PIP_FIELDS)
    if unknown or "packages" not in value:
        raise ValueError(
            f"runtime_env['pip'] must have the field packages and may have {', '.join(_PIP_FIELDS)}"
            f", but got {sorted(value)}"
        )
    out = {key: part for key, part in value.items() if part}
    for key, part in out.items():
        if not isinstance(part, _PIP_FIELDS[key]):
            wanted = _PIP_FIELDS[key].__name__
            raise TypeError(f"runtime_env['pip'][{key!r}] must be of type {wanted}, got {part!r}")
    if not all(isinstance(option, str) for option in out.get("pip_install_options", ())):
        raise TypeError("runtime_env['pip']['pip_install_options'] must be of type List[str]")
    out["packages"] = sorted(set(_requirements(value["packages"])))
    return out if out["packages"] else {}


def _requirements(value: Any) -> list[str]:
    """The lines of requirements, from a list or a file."""
    if isinstance(value, (str, os.PathLike)):
        path = os.path.abspath(os.path.expanduser(value))
        try:
            with open(path, encoding="utf-8") as file:
                lines = list(_lines(file.read()))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"runtime_env['pip']: {value} can't be read: {error}") from None
        return [_located(line, os.path.dirname(path)) for line in lines]
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise TypeError(
            "runtime_env['pip'] must be of type str (a requirements file's path) or List[str], "
            f"got {value!r}"
        )
    return [_located(line, os.getcwd()) for line in _lines("\n".join(value))]


def _lines(text: str) -> Iterator[str]:
    """A requirements file's lines as pip reads them: continued ones joined, without comments."""
    for line in text.replace("\\\n", "").splitlines():
        line = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if line:
            yield line


_OPTION = re.compile(r"(-[^\s=]+)[\s=]+(.+)")
_FILES = ("-r", "--requirement", "-c", "--constraint")
_ARCHIVES = (".whl", ".zip", ".tar.gz")


def _located(line: str, home: str) -> str:
    """A requirement or an option, with an absolute path in the place of a relative one.

    Requirement files named in one are found from that one's folder, `home`; other paths, as pip
    does it, from the working directory.
    """
    match = _OPTION.fullmatch(line)
    option, place = match.groups() if match is not None else ("", line)
    if "://" in place or " @ " in place:
        return line
    if option in _FILES:
        place = os.path.normpath(os.path.join(home, os.path.expanduser(place)))
    elif place.startswith((".", "~")) or place.partition(" ;")[0].endswith(_ARCHIVES):
        place = os.path.normpath(os.path.join(os.getcwd(), os.path.expanduser(place)))
    return f"{option} {place}".lstrip()


def _config(value: Any, per_call: bool) -> dict[str, Any]:
    return dict(value)


_CHECKS = {
    "env_vars": _variables, "working_dir": _folder, "py_modules": _modules, "pip": _pip,
    "config": _config,
}  # fmt: skip


@lru_cache(maxsize=1024)
def merged(outer: str, inner: str) -> str:
    """`inner` on top of `outer`, both canonical."""
    if not outer or not inner:
        return outer or inner
    below, above = json.loads(outer), json.loads(inner)
    out = {**below, **above}
    variables = {**below.get("env_vars", {}), **above.get("env_vars", {})}
    if variables:
        out["env_vars"] = variables
    return json.dumps(out, sort_keys=True)
