"""Which names a cell reads from outside, and which it sets."""

from __future__ import annotations

import ast

import pytest
from IPython.core.error import UsageError

from raykernel.cell_names import names_of


@pytest.mark.parametrize(
    ("text", "reads", "sets"),
    [
        ("y = x + 1", "x", "y"),
        ("y = 1\nprint(y)", "print", "y"),
        ("total = total + 1", "total", "total"),
        ("n += 1", "n", "n"),
        ("a, (b, *c) = x", "x", "a b c"),
        ("x[i] = y.z", "x i y", ""),
        ("a = b = c", "c", "a b"),
        ("a: int = 1\nb: T", "int T", "a"),
        ("if x: y = 1\nz = y", "x y", "y z"),
        ("if x: y = 1\nelse: y = 2\nz = y", "x", "y z"),
        ("if x: y = 1\nelse: raise E\nz = y", "x E", "y z"),
        ("for i in r:\n    t = i\nu = t", "r t", "i t u"),
        ("while c():\n    c = d", "c d", "c"),
        ("with open(p) as f:\n    t = f.read()\nu = t", "open p", "f t u"),
        ("try:\n    a = f()\nexcept E as e:\n    a = e\nb = a", "f E", "a b"),
        ("try:\n    a = 1\nexcept E:\n    pass\nb = a", "E a", "a b"),
        ("try:\n    a = 1\nfinally:\n    b = a", "", "a b"),
        ("y = [f(i) for i in r if i > k]", "f r k", "y"),
        ("y = {k: v for k, v in d.items() for _ in w}", "d w", "y"),
        ("if (n := len(x)): y = n", "len x", "n y"),
        ("y = [m := i for i in r]\nz = m", "r", "m y z"),
        ("f = lambda a, b=c: a + b + d", "c d", "f"),
        ("f = lambda: later\nlater = 1", "", "f later"),
        ("y = [(lambda: i + w) for i in r]", "w r", "y"),
        ("def f(a, b=c, *, d: T = e) -> R:\n    return a + g + f(1)", "c e T R g", "f"),
        ("def f(): return data\ndata = 1", "", "f data"),
        ("def f():\n    def g(): return [w for _ in x]\n    return g", "w x", "f"),
        ("def f():\n    global n\n    n = m", "m", "f n"),
        ("@deco\nclass A(B, metaclass=M):\n    x = y\n    z = x", "deco B M y", "A"),
        ("class A:\n    x = x", "x", "A"),
        ("class A:\n    def m(self): return w", "w", "A"),
        ("import a.b\nfrom c import d as e\na, e", "", "a e"),
        ("x = 1\ndel x\nprint(x)", "print x", ""),
        ("match p:\n    case [a, *b]: c = a\n    case K(x=1): pass", "p K", "a b c"),
        ("match p:\n    case {'k': v, **r}: pass", "p", "r v"),
        ("async with a as b:\n    c = await b", "a", "b c"),
        ("", "", ""),
    ],
)  # fmt: skip
def test_names(text: str, reads: str, sets: str) -> None:
    found = names_of(ast.parse(text).body)
    assert set(found.reads) == set(reads.split())
    assert set(found.sets) == set(sets.split())


def test_reads_come_with_their_line_and_changes_in_place_are_told() -> None:
    found = names_of(ast.parse("a = 1\n\nb[0] = c\nd.e.f = 1\ng += 1\nh(i.j)").body)
    assert found.reads["c"] == 3
    assert found.changes == {"b", "d", "g"}


def test_a_star_import_says_nothing() -> None:
    with pytest.raises(UsageError, match=r"line 2: 'from m import \*'"):
        names_of(ast.parse("\nfrom m import *").body)
