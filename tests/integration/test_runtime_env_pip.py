"""Tasks and actors with packages of their own, from wheels made here: no test needs a network."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import raykernel as ray

Build = Callable[..., Path]
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheel(tmp_path: Path) -> Build:
    """Makes the wheel of a module that knows its version."""

    def build(name: str, version: str, needs: str = "") -> Path:
        path = tmp_path / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        files = {
            f"{name}.py": f"version = {version!r}\ndef main():\n    print(version)\n",
            f"{info}/METADATA": METADATA.format(name=name, version=version) + needs,
            f"{info}/WHEEL": WHEEL,
            f"{info}/entry_points.txt": f"[console_scripts]\n{name}-says = {name}:main\n",
        }
        record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
        with zipfile.ZipFile(path, "w") as archive:
            for file, text in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(file, text)
        return path

    return build


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A session of 2 CPUs; the folder of its virtual environments."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ray.init(num_cpus=2)
    yield tmp_path / "cache" / "raykernel" / "envs"
    ray.shutdown()


@ray.remote
def version_of(name: str) -> str | None:
    try:
        return str(__import__(name).version)
    except ImportError:
        return None


class Knower:
    def version_of(self, name: str) -> str:
        return str(__import__(name).version)


KNOWER: Any = ray.remote(Knower)


def test_each_environment_has_its_own_packages(session: Path, wheel: Build) -> None:
    one, two = (
        {"pip": ["--no-index", str(wheel("rk_tiny", version))]} for version in ("1.0", "2.0")
    )
    refs = [version_of.options(runtime_env=env).remote("rk_tiny") for env in (one, two, {}, one)]
    assert ray.get(refs) == ["1.0", "2.0", None, "1.0"]
    knower = KNOWER.options(runtime_env=two).remote()
    assert ray.get(knower.version_of.remote("rk_tiny")) == "2.0"
    assert len([p for p in session.iterdir() if p.is_dir()]) == 2


def test_a_worker_is_at_home_in_its_virtual_environment(session: Path, wheel: Build) -> None:
    @ray.remote
    def look() -> dict[str, str]:
        from importlib.metadata import version

        import msgspec

        return {
            "prefix": sys.prefix,
            "variable": os.environ["VIRTUAL_ENV"],
            "version": version("rk_tiny"),
            "of the driver": msgspec.__version__,
            "script": subprocess.check_output(["rk_tiny-says"], text=True),
            "python": subprocess.check_output(
                ["python", "-c", "import rk_tiny; print(rk_tiny.version)"], text=True
            ),
            "path": os.environ["PATH"],
        }

    env = {
        "pip": {"packages": ["--no-index", str(wheel("rk_tiny", "1.0"))]},
        "env_vars": {"PATH": "/mine:${PATH}"},
    }
    seen = ray.get(look.options(runtime_env=env).remote())
    home = seen["prefix"]
    assert Path(home).parent == session
    assert seen == {
        "prefix": home,
        "variable": home,
        "version": "1.0",
        "of the driver": msgspec.__version__,
        "script": "1.0\n",
        "python": "1.0\n",
        "path": f"/mine:{home}/bin:{os.environ['PATH']}",
    }


def test_an_installed_package_gives_way_to_another_version(session: Path, wheel: Build) -> None:
    @ray.remote
    def look() -> str:
        return str(importlib.import_module("iniconfig").__file__)

    env = {"pip": ["--no-index", str(wheel("iniconfig", "99.0"))]}
    assert ray.get(version_of.options(runtime_env=env).remote("iniconfig")) == "99.0"
    assert ray.get(look.options(runtime_env=env).remote()).startswith(str(session))
    assert ray.get(look.remote()) == importlib.import_module("iniconfig").__file__


def test_a_jobs_packages_are_its_tasks_and_inherited(
    tmp_path: Path, wheel: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    @ray.remote
    def outer() -> Any:
        return ray.get(version_of.remote("rk_tiny"))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"--no-index  # from here alone\n{wheel('rk_tiny', '1.0')}\n")
    with ray.init(num_cpus=2, runtime_env={"pip": str(requirements)}):
        assert ray.get([version_of.remote("rk_tiny"), outer.remote()]) == ["1.0", "1.0"]


def test_a_failing_installation_is_told_with_pips_words(session: Path) -> None:
    env = {"pip": ["--no-index", "/nowhere/rk_tiny-1.0-py3-none-any.whl"]}
    refs = [version_of.options(runtime_env=env).remote("rk_tiny") for _ in range(4)]
    for ref in refs:
        with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="/nowhere/rk_tiny"):
            ray.get(ref)
    knower = KNOWER.options(runtime_env=env).remote()
    for _ in range(2):
        with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="/nowhere/rk_tiny"):
            ray.get(knower.version_of.remote("rk_tiny"))
    assert ray.get(version_of.remote("sys_not_there")) is None
    assert [p for p in session.iterdir() if p.is_dir()] == []


def test_a_failing_check_fails_the_environment(session: Path, wheel: Build) -> None:
    path = wheel("rk_needy", "1.0", needs="Requires-Dist: rk_missing\n")
    options = ["--no-index", "--no-deps"]
    for check in (False, True):
        pip = {"packages": [str(path)], "pip_check": check, "pip_install_options": options}
        ref = version_of.options(runtime_env={"pip": pip}).remote("rk_needy")
        if check:
            with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="rk-missing"):
                ray.get(ref)
        else:
            assert ray.get(ref) == "1.0"


#: A build backend that says it has begun and goes on when somebody opens the other pipe.
BACKEND = """
import os, shutil
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    open({begun!r}, "w").close()
    open({go!r}).close()
    shutil.copy({wheel!r}, wheel_directory)
    return os.path.basename({wheel!r})
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    import zipfile
    with zipfile.ZipFile({wheel!r}) as archive:
        names = [n for n in archive.namelist() if ".dist-info/" in n]
        archive.extractall(metadata_directory, names)
    return names[0].partition("/")[0]
"""


@dataclass
class SlowSource:
    path: Path
    begun: Path  # can be read once the installation is in its middle
    go: Path  # is to be written for it to end


@pytest.fixture
def slow(wheel: Build, tmp_path: Path) -> SlowSource:
    """The source of rk_tiny 1.0."""
    slow = SlowSource(tmp_path / "source", tmp_path / "begun", tmp_path / "go")
    os.mkfifo(slow.begun)
    os.mkfifo(slow.go)
    slow.path.mkdir()
    (slow.path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "slow"\nbackend-path = ["."]\n'
    )
    (slow.path / "slow.py").write_text(
        BACKEND.format(begun=str(slow.begun), go=str(slow.go), wheel=str(wheel("rk_tiny", "1.0")))
    )
    return slow


def test_others_go_on_while_an_installation_takes_its_time(
    session: Path, wheel: Build, slow: SlowSource
) -> None:
    env = {"pip": ["--no-index", str(slow.path)]}
    waiting = [version_of.options(runtime_env=env).remote("rk_tiny") for _ in range(4)]
    slow.begun.open().close()
    assert ray.get([version_of.remote("rk_tiny") for _ in range(10)]) == [None] * 10
    other = {"pip": ["--no-index", str(wheel("rk_other", "2.0"))]}
    assert ray.get(version_of.options(runtime_env=other).remote("rk_other")) == "2.0"
    assert ray.wait(waiting, timeout=0)[0] == []
    slow.go.open("w").close()
    assert ray.get(waiting) == ["1.0"] * 4


def test_a_session_that_ends_takes_its_installations_along(session: Path, slow: SlowSource) -> None:
    """That no process stays is seen by the fixture that looks after every test."""
    env = {"pip": ["--no-index", str(slow.path)]}
    ref = version_of.options(runtime_env=env).remote("rk_tiny")
    slow.begun.open().close()
    ray.shutdown()
    assert not list(session.glob("*/complete"))
    del ref


def test_an_installation_that_takes_too_long_is_given_up(
    session: Path, wheel: Build, tmp_path: Path
) -> None:
    env = {"pip": [str(wheel("rk_tiny", "1.0"))], "config": {"setup_timeout_seconds": 0}}
    with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="setup_timeout_seconds"):
        ray.get(version_of.options(runtime_env=env).remote("rk_tiny"))
