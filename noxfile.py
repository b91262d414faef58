"""`nox` runs everything; `nox -s tests-3.12 -- -k store` one session, with arguments for pytest."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
@nox.parametrize("ipykernel", ["==6.29.*", "==7.0.*", ">=7"])
def kernels(session: nox.Session, ipykernel: str) -> None:
    """Whose output is whose, on the ipykernels that find a thread's cell each in its own way."""
    session.install("-e", ".[test]")
    session.install("--upgrade", f"ipykernel{ipykernel}")
    session.run("pytest", "tests/integration/test_attribution.py", *session.posargs)


@nox.session
def ray(session: nox.Session) -> None:
    """What is promised of Ray's API, on Ray itself; `nox -s ray -- FILES` for some of it."""
    session.install("-e", ".[test-ray]")
    session.run("python", "-m", "tests.on_ray", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """The documentation's pictures, anew; `nox -s screenshots -- views` for some of them."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "docs.screenshots", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    session.install("-e", ".[test]")
    session.run("mypy")
