"""The options of the notebook layer: where they come from, and what the README says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.error import UsageError
from traitlets.config import Config, Configurable

from raykernel import config
from raykernel.config import RayKernelConfig
from raykernel.magic_options import parse, parser


def of_file(**options: object) -> RayKernelConfig:
    return RayKernelConfig(parent=Configurable(config=Config({"RayKernelConfig": options})))


def test_the_readme_shows_every_option() -> None:
    readme = Path(config.__file__).parent.parent / "README.md"
    assert config.table() in readme.read_text(encoding="utf-8")  # python -m raykernel.config


def test_the_nearest_source_counts() -> None:
    options = of_file(progress=False, progress_delay=3.0, num_cpus=1)
    options.read_environment({"RAYKERNEL_PROGRESS_DELAY": "2", "RAYKERNEL_NUM_CPUS": "2"})
    assert (options.progress, options.progress_delay, options.num_cpus) == (False, 2.0, 2)
    options.update_config(Config({"RayKernelConfig": {"num_cpus": 3}}))  # as %config does
    assert (options.progress, options.progress_delay, options.num_cpus) == (False, 2.0, 3)
    flagged = options.over({"num_cpus": 4})
    assert (flagged.progress, flagged.progress_delay, flagged.num_cpus) == (False, 2.0, 4)
    assert options.num_cpus == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", False), ("false", False), ("off", False), ("no", False), ("1", True), ("Yes", True)],
)
def test_yes_and_no_in_the_environment(text: str, value: bool) -> None:
    options = of_file(progress=not value)
    options.read_environment({"RAYKERNEL_PROGRESS": text})
    assert options.progress is value


@pytest.mark.parametrize(("name", "text"), [("NUM_CPUS", "many"), ("PROGRESS_DELAY", "-1")])
def test_nonsense_in_the_environment_is_named_and_left_out(name: str, text: str) -> None:
    options = of_file()
    with pytest.warns(UserWarning, match=f"RAYKERNEL_{name}='{text}' is no value"):
        options.read_environment({f"RAYKERNEL_{name}": text})
    assert (options.num_cpus, options.progress_delay) == (None, 0.5)


def test_each_option_is_a_flag() -> None:
    flags = parser("x", "")
    config.add_flags(flags)
    line = "-n 2 --no-progress --progress-delay 0 --log-to-cell"
    assert config.take_flags(parse(flags, line)) == {
        "num_cpus": 2,
        "progress": False,
        "progress_delay": 0.0,
        "log_to_cell": True,
    }
    assert config.take_flags(parse(flags, "")) == {}
    with pytest.raises(UsageError, match="invalid number value: '-1'"):
        parse(flags, "--progress-delay=-1")
