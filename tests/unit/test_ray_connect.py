"""What is looked at before a Ray cluster is connected to."""

from __future__ import annotations

import platform

import pytest

from raykernel.runtime.engines import ray_connect


@pytest.mark.parametrize(
    "address", ["10.0.0.1:6379", "head.local:6379", "ray://head:10001", "[::1]:1"]
)
def test_addresses_of_ray(address: str) -> None:
    assert ray_connect.is_rays(address)


@pytest.mark.parametrize(
    "address", [None, "", "local", "my-session", "unix:/tmp/x/head.sock", "/tmp/a"]
)
def test_addresses_of_others(address: str | None) -> None:
    assert not ray_connect.is_rays(address)


def test_another_python_is_an_error_with_its_command() -> None:
    told = {"python_version": "3.99.1", "ray_version": "2.60.0"}
    with pytest.raises(ConnectionError, match=r"python3\.99 -m venv .* 'ray==2\.60\.0'"):
        ray_connect.check_versions("h:1", told, "2.60.0")


def test_another_ray_is_an_error_with_its_command() -> None:
    told = {"python_version": platform.python_version(), "ray_version": "2.41.0"}
    with pytest.raises(ConnectionError, match=r"-m pip install 'ray==2\.41\.0'"):
        ray_connect.check_versions("h:1", told, "2.60.0")


def test_the_same_versions_pass() -> None:
    told = {"python_version": platform.python_version(), "ray_version": "2.60.0"}
    ray_connect.check_versions("h:1", told, "2.60.0")
    assert ray_connect.check_worker("h:1", ray_connect.versions()) == []


def test_another_cloudpickle_and_platform_are_errors() -> None:
    there = ray_connect.versions()
    with pytest.raises(ConnectionError, match=r"cloudpickle==1\.0"):
        ray_connect.check_worker("h:1", {**there, "cloudpickle": "1.0"})
    with pytest.raises(ConnectionError, match="Plan 9"):
        ray_connect.check_worker("h:1", {**there, "platform": "Plan 9 mips"})


def test_another_pyarrow_is_warned_of() -> None:
    there = {**ray_connect.versions(), "pyarrow": "1.0.0"}
    assert "pyarrow==1.0.0" in ray_connect.check_worker("h:1", there)[0]
