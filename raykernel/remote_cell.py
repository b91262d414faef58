"""`%%remote`: a cell whose functions become remote functions and whose classes actor classes.

The cell is run by IPython itself, not by a magic that compiles text on its own. So its history,
`In[n]`, tracebacks with source lines, `%debug`, `inspect.getsource`, top-level `await` and the
value of its last line are those of any cell:

    %%remote -n 2    ─ input transformer ─▶   get_ipython().run_cell_magic('remote', '-n 2', ...)
    def f(x): ...                             def f(x): ...
                     ─ AST transformer ──▶    (the first line taken away)
                                              @definition({'num_cpus': 2})
                                              def f(x): ...

Line numbers stay as they are. The magic itself runs in two cases: with an empty body, to report
what is wrong with the cell's options or code; and with the cell's text, where some code calls it
directly.

An `async def` becomes a remote function too: its task runs it to its end in an event loop of its
own (async_tasks.py).

What stays as it is: everything nested in another function or class, whatever is remote already,
the decorators that the cell itself uses, and classes whose instances are values, not services (see
`is_value_class`).
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import linecache
import typing
from collections.abc import Callable
from types import FunctionType
from typing import Any

from IPython.core.error import UsageError

from raykernel.actor import ActorClass
from raykernel.async_tasks import as_task
from raykernel.cell_options import FOR_CLASSES, FOR_FUNCTIONS
from raykernel.decorator import remote

#: What turns the text behind `%%remote` into `@remote` options, or raises UsageError.
ParseOptions = Callable[[str], dict[str, Any]]

#: The body in the magic's call that stands for the rest of the cell; IPython refuses an empty one.
NO_BODY = "\n"


def definition(options: dict[str, Any]) -> Callable[[Any], Any]:
    """The outermost decorator of each function and class of a `%%remote` cell."""

    def decorate(thing: Any) -> Any:
        if isinstance(thing, type):
            if is_value_class(thing):
                return thing
            chosen = {k: v for k, v in options.items() if k not in FOR_FUNCTIONS}
        elif isinstance(thing, FunctionType | functools._lru_cache_wrapper):
            chosen = {k: v for k, v in options.items() if k not in FOR_CLASSES}
            thing = as_task(thing)
        else:  # remote already, or what another decorator made of it
            return thing
        return remote(**chosen)(thing) if chosen else remote(thing)

    return decorate


def base(thing: Any) -> Any:
    """What a class of a `%%remote` cell inherits from: the class behind an actor class."""
    return inspect.unwrap(thing) if isinstance(thing, ActorClass) else thing


def is_value_class(cls: type) -> bool:
    """Whether a class stays plain: exceptions, enums, dataclasses (attrs, pydantic and msgspec
    alike), named tuples, typed dictionaries, protocols, abstract classes and metaclasses."""
    return (
        issubclass(cls, BaseException | enum.Enum | type)
        or (issubclass(cls, tuple) and hasattr(cls, "_fields"))
        or dataclasses.is_dataclass(cls)
        or typing.is_typeddict(cls)
        or inspect.isabstract(cls)
        or bool(cls.__dict__.get("_is_protocol"))
        or any(
            hasattr(cls, mark)
            for mark in ("__attrs_attrs__", "__pydantic_fields__", "__struct_fields__")
        )
    )


def magic_line(lines: list[str]) -> list[str]:
    """Input transformer: put the call of the magic in place of a first line `%%remote ...`."""
    if not lines or lines[0].split(maxsplit=1)[:1] != ["%%remote"]:
        return lines
    options = lines[0].strip()[len("%%remote") :].strip()
    below = "".join(lines[1:])
    if below.lstrip().startswith("%%"):  # the magic itself says what is wrong
        return [f"get_ipython().run_cell_magic('remote', {options!r}, {below!r})\n"]
    return [f"get_ipython().run_cell_magic('remote', {options!r}, {NO_BODY!r})\n", *lines[1:]]


class RemoteCellTransformer(ast.NodeTransformer):
    """AST transformer: decorate the definitions of a cell that begins with the magic's call."""

    def __init__(self, parse_options: ParseOptions) -> None:
        self._parse = parse_options
        #: What the call of the magic that is left of a wrong cell is to raise.
        self.error: UsageError | None = None

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ast.Module) or not node.body:
            return node
        call = magic_call(node.body[0])
        if call is None or (call[0], call[2]) != ("remote", NO_BODY):
            return node
        as_written(call)
        body = ast.Module(node.body[1:], [])
        try:
            options = self._parse(call[1])
            decorate(body, options)
        except UsageError as error:
            # Raised in here it would unregister this transformer: let the magic raise it.
            self.error = error
            return ast.Module([node.body[0]], [])
        return body


def decorate(body: ast.Module, options: dict[str, Any]) -> None:
    """Decorate the top-level functions and classes of a cell in place."""
    names = _Definitions(options, decorators(body))
    names.visit(body)
    if not names.found:
        raise UsageError("%%remote: this cell defines no function and no class to make remote.")
    for kind, only in (("function", FOR_FUNCTIONS), ("class", FOR_CLASSES)):
        if kind not in names.kinds:
            for name in only:
                if name in options:
                    raise UsageError(
                        f"%%remote: --{name.replace('_', '-')} is for a {kind}, and this cell "
                        "defines none."
                    )
    if "name" in options and len(names.found) > 1:
        raise UsageError(
            f"%%remote: --name names one thing, and this cell defines {len(names.found)}: "
            f"{', '.join(names.found)}."
        )
    ast.fix_missing_locations(body)


def decorators(body: ast.Module) -> set[str]:
    """The names that a cell decorates with, wherever in it. What it defines under them stays plain,
    for a decorator is called at once."""
    used: list[ast.expr] = []
    for node in ast.walk(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            used += [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return {name.id for name in used if isinstance(name, ast.Name)}


class _Definitions(ast.NodeVisitor):
    """Visits what runs at the cell's top level, `if` and `try` blocks included."""

    def __init__(self, options: dict[str, Any], plain: set[str]) -> None:
        self._plain = plain
        self.found: list[str] = []
        self.kinds: set[str] = set()
        self._options = options

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._add(node, "function")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._add(node, "function")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        node.bases = [
            value if isinstance(value, ast.Starred) else _helper_call("base", value, value)
            for value in node.bases
        ]
        self._add(node, "class")

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Stays as it is, as does all within."""

    def _add(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, kind: str) -> None:
        if node.name in self._plain:
            return
        self.found.append(node.name)
        self.kinds.add(kind)
        # At the line of the first decorator there is, because a function begins with it.
        place = node.decorator_list[0] if node.decorator_list else node
        options = ast.parse(repr(self._options), mode="eval").body
        node.decorator_list.insert(0, _helper_call("definition", options, place))


def _helper_call(name: str, argument: ast.expr, place: ast.AST) -> ast.Call:
    """A call of this module's `name` that needs no name in the user's namespace."""
    source = f"__import__({__name__!r}, fromlist=[{name!r}]).{name}()"
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    call.args = [argument]
    for part in ast.walk(call):
        ast.copy_location(part, place)
    return call


def magic_call(node: ast.stmt) -> tuple[str, str, str] | None:
    """The name, line and body of the call of a cell magic, None if it is no such call."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return None
    call = node.value
    if ast.unparse(call.func) != "get_ipython().run_cell_magic" or len(call.args) != 3:
        return None
    texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    name, line, body = [text for text in texts if isinstance(text, str)] + [""] * (3 - len(texts))
    return name, line, body


def as_written(call: tuple[str, str, str]) -> None:
    """Let the cell that begins with this call show its magic as a comment, in tracebacks that reach
    up to it, and not what IPython made of it."""
    name, line, body = call
    made = f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"
    for file, entry in list(linecache.cache.items()):
        if len(entry) == 4 and entry[2][:1] == [made]:
            lines = [f"# %%{name} {line}".rstrip() + "\n", *entry[2][1:]]
            linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def run_directly(shell: Any, number: int, source: str, options: dict[str, Any]) -> None:
    """Run a cell's text for code that calls the magic itself; the last line's value is shown."""
    # One line in front, where the cell had the magic, keeps the line numbers.
    if source.lstrip().startswith("%%"):
        other = source.split(maxsplit=1)[0]
        raise UsageError(f"%%remote: put {other} above %%remote, not below it.")
    text = "# %%remote\n" + shell.transform_cell(source)
    name = shell.compile.cache(text, number)
    tree = shell.compile.ast_parse(text, filename=name)
    decorate(tree, options)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(shell.compile(tree, name, "exec"), shell.user_global_ns, shell.user_ns)
    if last is not None:
        code = shell.compile(ast.Interactive([last]), name, "single")
        exec(code, shell.user_global_ns, shell.user_ns)
