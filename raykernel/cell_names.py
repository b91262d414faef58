"""Which names a cell's code reads from outside, and which it sets. From its text alone.

The code runs from top to bottom as a module does, so a name counts as read from outside where it
may be read before the cell has set it for certain: what is set on one side of an `if`, or in a
loop's body, may not be set after it. What a function or lambda reads it reads later, when it is
called: such a name counts unless it is set for certain by the end of the cell.

    total = total + x     reads total and x, sets total
    y = 1; print(y)       reads nothing, sets y
    if x: z = 1           reads x, may set z
    def f(): return w     reads w, sets f
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from IPython.core.error import UsageError

_LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Names:
    """`reads` with the line of the first place each. `sets` in order. `changes` are names whose
    objects the code visibly changes in place: `x[0] = 1`, `x.y = 1`, `x += 1`."""

    reads: dict[str, int] = field(default_factory=dict)
    sets: dict[str, None] = field(default_factory=dict)
    changes: set[str] = field(default_factory=set)


def names_of(body: Iterable[ast.stmt]) -> Names:
    """See the head comment. Raises UsageError for code whose names can't be known."""
    flow = _Flow()
    flow.block(body)
    for name, line in flow.later:
        if name not in flow.certain:
            flow.names.reads.setdefault(name, line)
    return flow.names


class _Flow(ast.NodeVisitor):
    """Walks statements in the order in which they run."""

    def __init__(self) -> None:
        self.names = Names()
        self.certain: set[str] = set()
        self.later: list[tuple[str, int]] = []
        self._local: frozenset[str] = frozenset()  # of the comprehensions and lambdas around
        self._deferred = False

    def block(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    # -- names ---------------------------------------------------------------------------------

    def read(self, name: str, line: int) -> None:
        if name in self._local:
            return
        if self._deferred:
            self.later.append((name, line))
        elif name not in self.certain:
            self.names.reads.setdefault(name, line)

    def set(self, name: str) -> None:
        if not self._deferred:
            self.certain.add(name)
        self.names.sets[name] = None

    def unset(self, name: str) -> None:
        self.certain.discard(name)
        self.names.sets.pop(name, None)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id, node.lineno)
        elif isinstance(node.ctx, ast.Del):
            self.read(node.id, node.lineno)
            self.unset(node.id)
        elif node.id not in self._local:
            self.set(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._changed(node)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._changed(node)
        self.generic_visit(node)

    def _changed(self, node: ast.Attribute | ast.Subscript) -> None:
        root: ast.expr = node
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and not isinstance(node.ctx, ast.Load):
            self.names.changes.add(root.id)

    # -- expressions with names of their own ---------------------------------------------------

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.set(node.target.id)

    def _comprehension(self, node: Any) -> None:
        outer = self._local
        for part in node.generators:
            self.visit(part.iter)
            self._local |= {n.id for n in ast.walk(part.target) if isinstance(n, ast.Name)}
            for test in part.ifs:
                self.visit(test)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)
        self._local = outer

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        outer, deferred = self._local, self._deferred
        args = node.args
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        self._local |= {arg.arg for arg in every if arg is not None}
        self._deferred = True
        self.visit(node.body)
        self._local, self._deferred = outer, deferred

    def _defaults(self, args: ast.arguments) -> None:
        for default in (*args.defaults, *args.kw_defaults):
            if default is not None:
                self.visit(default)

    # -- statements ----------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, node.lineno)
            self.names.changes.add(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.set(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                raise UsageError(
                    f"line {node.lineno}: 'from {node.module} import *' doesn't say which names "
                    "it sets. Import them by name."
                )
            self.set(alias.asname or alias.name)

    def _function(self, node: FunctionNode) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._defaults(node.args)
        args = node.args
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        for note in [node.returns, *(arg.annotation for arg in every if arg is not None)]:
            if note is not None:
                self.visit(note)
        reads, sets = _globals_within(node)
        self.later += [(name, node.lineno) for name in reads]
        for name in sets:
            self.names.sets[name] = None
        self.set(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.visit(part)
        now, later, sets = _class_globals(node)
        for name in now:
            self.read(name, node.lineno)
        self.later += [(name, node.lineno) for name in later]
        for name in sets:
            self.names.sets[name] = None
        self.set(node.name)

    def _branches(self, *branches: Iterable[ast.stmt]) -> None:
        """Of these one is run: certain is what all of them set."""
        before, ends = self.certain, []
        for branch in branches:
            self.certain = set(before)
            statements = list(branch)
            self.block(statements)
            if not (statements and isinstance(statements[-1], ast.Raise)):
                ends.append(self.certain)
        self.certain = set.intersection(*ends) if ends else before

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._branches(node.body, node.orelse)

    def _loop(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        before = set(self.certain)
        self.visit(node.target)
        self.block(node.body)
        self.certain = before
        self.block(node.orelse)

    visit_For = visit_AsyncFor = _loop

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        before = set(self.certain)
        self.block(node.body)
        self.certain = before
        self.block(node.orelse)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.visit(item.optional_vars)
        self.block(node.body)

    visit_With = visit_AsyncWith = _with

    def visit_Try(self, node: Any) -> None:
        before = set(self.certain)
        self.block(node.body)
        self.block(node.orelse)
        ends = [self.certain]
        for handler in node.handlers:
            self.certain = set(before)
            if handler.type is not None:
                self.visit(handler.type)
            if handler.name:
                self.set(handler.name)
            self.block(handler.body)
            if handler.name:
                self.unset(handler.name)
            if not isinstance(handler.body[-1], ast.Raise):
                ends.append(self.certain)
        self.certain = set.intersection(*ends)
        self.block(node.finalbody)

    visit_TryStar = visit_Try

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        before = set(self.certain)
        for case in node.cases:
            self.certain = set(before)
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    self.set(name)
                if isinstance(part, ast.expr):
                    self.visit(part)
            if case.guard is not None:
                self.visit(case.guard)
            self.block(case.body)
        self.certain = before


def _globals_within(node: FunctionNode) -> tuple[list[str], list[str]]:
    """The global names that a function's code reads and sets, as the compiler sees it."""
    bare = type(node)(**{**vars(node), "decorator_list": [], "returns": None})
    code = compile(ast.Module([bare], []), "<cell>", "exec")
    return _later_globals(code)


def _later_globals(code: CodeType) -> tuple[list[str], list[str]]:
    reads: dict[str, None] = {}
    sets: dict[str, None] = {}
    for inner in _inner(code):
        for step in dis.get_instructions(inner):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                reads[step.argval] = None
            elif step.opname == "STORE_GLOBAL":
                sets[step.argval] = None
    return list(reads), list(sets)


def _inner(code: CodeType) -> Iterable[CodeType]:
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from _inner(const)


def _class_globals(node: ast.ClassDef) -> tuple[list[str], list[str], list[str]]:
    """The names that a class's body reads now, those its methods read later, those they set."""
    bare = ast.ClassDef(**{**vars(node), "decorator_list": [], "bases": [], "keywords": []})
    module = compile(ast.Module([bare], []), "<cell>", "exec")
    body = next(const for const in module.co_consts if isinstance(const, CodeType))
    own, now = {"__name__"}, []
    for step in dis.get_instructions(body):
        if step.opname == "STORE_NAME":
            own.add(step.argval)
        elif step.opname in _LOADS and step.argval not in own:
            now.append(step.argval)
    later, sets = _later_globals(body)
    return now, later, sets
