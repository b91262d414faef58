"""`raykernel install`: a kernel that Jupyter finds and starts, with the extension loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from raykernel import cli
from tests.integration.kernels import run_kernel


def test_the_installed_kernel_runs_cells_and_is_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    command = ["install", "--prefix", str(tmp_path), "--name", "Ray-Test"]
    assert cli.main([*command, "--display-name", "Mine"]) == 0
    assert 'installed the kernel "Mine"' in capsys.readouterr().out
    specs = KernelSpecManager()
    spec = specs.get_kernel_spec("ray-test")
    assert (spec.display_name, spec.language) == ("Mine", "python")
    assert (Path(spec.resource_dir) / "logo-svg.svg").exists()
    assert cli.main(command) == 0  # its own may be written again
    spec = specs.get_kernel_spec("ray-test")
    assert spec.display_name == "Python 3 (raykernel)"

    manager = KernelManager(kernel_name="ray-test", kernel_spec_manager=specs)
    with run_kernel(manager, session_ttl=100) as k:
        k.run("%ray start -n 1\nimport sys, raykernel as ray\nref = ray.put(42, name='x')")
        k.restart()
        again = k.run("import raykernel as ray\nray.get(ray.get_object('x'))")
        assert k.value(again) == "42"
        k.run("%ray stop")
        assert k.value(k.run("__name__")) == "'__main__'"

    assert cli.main([*command, "--remove"]) == 0
    assert "ray-test" not in specs.find_kernel_specs()
    assert cli.main([*command, "--remove"]) == 1
    assert "there is no kernel 'Ray-Test'" in capsys.readouterr().err


def test_another_kernel_of_the_name_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "share" / "jupyter" / "kernels" / "raykernel"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["julia"], "display_name": "J"}))
    for command in (["install"], ["install", "--remove"]):
        assert cli.main([*command, "--prefix", str(tmp_path)]) == 1
        assert "is another kernel's" in capsys.readouterr().err
    assert cli.main(["install", "--prefix", str(tmp_path), "--name", "a b/c"]) == 1
    assert "is no kernel name" in capsys.readouterr().err
    assert json.loads((folder / "kernel.json").read_text())["argv"] == ["julia"]
