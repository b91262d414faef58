"""The command line's own part: options, exit codes, and errors in a paragraph."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from raykernel import cli, lessons
from raykernel.commands import CommandError, demo, lab


def test_alone_it_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("demo", "lab", "bench", "install", "sessions", "stop"))


@pytest.mark.parametrize("command", ["demo", "lab", "bench", "install", "sessions", "stop"])
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: raykernel {command}" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["dance"])
    assert ended.value.code == 2
    assert "dance" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--rounds", "0"], ["--seconds", "-1"], ["--seconds", "nan"]])
def test_bench_refuses_senseless_numbers(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *option])
    assert ended.value.code == 2
    assert option[0] in capsys.readouterr().err


def test_a_row_that_does_not_exist_lists_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--only", "knitting"]) == 1
    said = capsys.readouterr().err
    assert "knitting" in said
    assert "put small object" in said


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["bench", "--against", "ray"]) == 1
    assert cli.main(["lab"]) == 1
    assert cli.main(["demo"]) == 1
    said = capsys.readouterr()
    assert "pip install 'raykernel[lab]'" in said.err
    assert "pip install 'raykernel[demo]'" in said.err
    assert said.out == ""


def test_bench_against_ray_without_ray_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else object)
    assert cli.main(["bench", "--against", "ray"]) == 1
    assert "pip install 'raykernel[ray]'" in capsys.readouterr().err


def test_interruption_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(options: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "raykernel demo: interrupted\n"


class TestDemoRefusesBeforeAnyKernel:
    """A unit test can start no process: that these end in an error shows that none was tried."""

    def error(self, capsys: pytest.CaptureFixture[str], *options: str) -> str:
        assert cli.main(["demo", *options]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        return said.err

    def test_a_missing_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        said = self.error(capsys, "--csv", str(tmp_path / "none.csv"), "--json")
        assert "there is no file" in said

    def test_missing_columns(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        csv = tmp_path / "sales.csv"
        csv.write_text("sqft,usd\n1,2\n")
        said = self.error(capsys, "--csv", str(csv), "--size-column", "sqft")
        assert "no column 'Price'" in said
        assert "'sqft', 'usd'" in said

    def test_columns_the_default_data_lacks(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "its columns are 'year', 'age'" in self.error(capsys, "--size-column", "floors")

    def test_output_that_is_a_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "out").write_text("mine")
        assert "can't make the folder" in self.error(capsys, "--output", str(tmp_path / "out"))

    @pytest.mark.parametrize("name", ["house_prices.ipynb", "house_prices.html"])
    def test_somebody_else_s_files(
        self, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / name).write_text("{}")
        said = self.error(capsys, "--output", str(tmp_path))
        assert "was not written by `raykernel demo`" in said
        assert (tmp_path / name).read_text() == "{}"


class TestLab:
    def test_a_checkout_is_worked_in(self) -> None:
        assert lab.working_folder(None) == lessons.FOLDER.resolve()

    def test_copies_never_overwrite_a_learner_s_work(self, tmp_path: Path) -> None:
        mine = tmp_path / "01_first_steps.ipynb"
        mine.write_text("my own")
        assert lab.working_folder(tmp_path) == tmp_path.resolve()
        assert mine.read_text() == "my own"
        assert sorted(file.name for file in tmp_path.iterdir()) == lessons.names()

    def test_an_installed_package_is_copied_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installed = tmp_path / "site-packages" / "raykernel" / "notebooks"
        installed.mkdir(parents=True)
        (installed / "01_lesson.ipynb").write_text("{}")
        monkeypatch.setattr(lessons, "FOLDER", installed)
        monkeypatch.chdir(tmp_path)
        assert lab.working_folder(None) == (tmp_path / lab.WORKING_COPY).resolve()
        assert (tmp_path / lab.WORKING_COPY / "01_lesson.ipynb").read_text() == "{}"

    def test_it_becomes_jupyterlab(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Replaced(Exception):
            pass

        def execv(path: str, command: list[str]) -> None:
            raise Replaced(command)

        monkeypatch.setattr(os, "execv", execv)
        with pytest.raises(Replaced) as replaced:
            cli.main(["lab", "--folder", str(tmp_path), "--no-browser", "--", "--port=9999"])
        [command] = replaced.value.args
        assert command[1:] == ["-m", "jupyterlab", "--port=9999", "--no-browser", str(tmp_path)]

    def test_without_notebooks_it_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lessons, "FOLDER", tmp_path)
        with pytest.raises(CommandError, match="holds no notebook"):
            lab.working_folder(None)
