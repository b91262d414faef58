"""`%%task`: a cell that runs as one task in the background, so that cells form a dataflow graph.

    %%task                    here, at once                         in a worker, later
    import math               imported                              imported
    def area(r): ...          defined: it uses nothing from below   came along with what is read
    r = radius * 2            radius taken along; r = ObjectRef     computed
    area(r)                   placeholder  ◀─────────────────────   shown when it is done

What the cell reads is found in its text (cell_names.py) and looked up when the cell runs: a name
that is nowhere is a NameError there and then. ObjectRefs are passed as they are, so the task waits
for their values; large values are put into the object store once. What the cell sets becomes an
ObjectRef under that name. Its imports are done here too, and its functions and classes are defined
here unless they use what the cell computes: they are what they would be in any cell. With `-o` only
the names it lists change here.
"""

from __future__ import annotations

import ast
import builtins
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NamedTuple

from IPython.core.error import UsageError

from raykernel import api, capture, remote_cell
from raykernel.captured import MISSING, walk
from raykernel.cell_names import names_of
from raykernel.cell_options import TaskOptions, parse_task
from raykernel.magic_options import asks_for_help
from raykernel.refs import ObjectRef
from raykernel.remote import RemoteFunction
from raykernel.runtime import context
from raykernel.runtime.connection import Connection
from raykernel.runtime.messages import INLINE_LIMIT
from raykernel.runtime.serialize import serialize
from raykernel.task_body import Body, run

_IPYTHONS_OWN = {"_", "__", "___"}
_MEND = "Name them with `-i` to take them along all the same, or `ray.put` them."

#: Marks a body which stands for the rest of the cell.
_MARK = "# the rest of the cell "
_REMEMBERED = 100  # texts of cells that were looked at, and perhaps not run

_runner = RemoteFunction(run, {})


class Plan(NamedTuple):
    """What becomes of a cell. `here` is run in the notebook; `reads` are the names that the rest
    takes along from there."""

    here: list[ast.stmt]
    body: Body
    reads: tuple[str, ...]
    number: int
    options: dict[str, Any]
    asked_for: bool  # the user listed what to take along


class Submitted(NamedTuple):
    """`shown` is the ref of how to show the value of the last line; `shows` whether it has one."""

    name: str
    shown: ObjectRef[Any]
    shows: bool
    outputs: tuple[str, ...]


class Undefined(NamedTuple):
    """A name that the cell reads and nobody has set."""

    name: str
    line: int


class TaskCells(ast.NodeTransformer):
    """Sees to it that IPython reads a `%%task` cell itself, so that whatever is wrong with it is
    shown as in any cell, and that only its imports, its definitions and the magic are run.

    `magic_line` is the input transformer; this is the AST transformer behind it.
    """

    def __init__(self, shell: Any, number: Callable[[], int]) -> None:
        self._shell = shell
        self._number = number  # of the running cell, 0 for none
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._plans: dict[str, Plan | UsageError] = {}

    def magic_line(self, lines: list[str]) -> list[str]:
        """Put the call of the magic in place of a first line `%%task ...`."""
        if not lines or lines[0].split(maxsplit=1)[:1] != ["%%task"]:
            return lines
        if asks_for_help(lines[0].strip()[len("%%task") :]):
            return ["get_ipython().run_cell_magic('task', '--help', '\\n')\n"]
        if len(lines) < 2:
            return lines
        key = f"\n{_MARK}{uuid.uuid4().hex}"
        self._texts[key] = "".join(lines)
        while len(self._texts) > _REMEMBERED:
            self._texts.popitem(last=False)
        options = lines[0].strip()[len("%%task") :].strip()
        return [f"get_ipython().run_cell_magic('task', {options!r}, {key!r})\n", *lines[1:]]

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ast.Module) or not node.body:
            return node
        call = remote_cell.magic_call(node.body[0])
        if call is None or call[2] not in self._texts:
            return node
        text = self._texts.pop(call[2])
        remote_cell.as_written(call)
        magic, *body = node.body
        here: list[ast.stmt] = []
        try:
            plan = make_plan(self._shell, self._number(), body, text, parse_task(call[1]))
            if isinstance(plan, Undefined):
                return ast.Module([_read(plan)], [])
            here = plan.here
            self._plans[call[2]] = plan
        except SyntaxError:
            return ast.Module(body, [])  # IPython's own try at it says so
        except UsageError as error:
            # raised in here it would unregister this transformer: let the magic raise it
            self._plans[call[2]] = error
        return ast.Module([*here, magic], [])

    def plan(self, line: str, cell: str) -> Plan:
        """What the magic is to do. Raises UsageError; and NameError, SyntaxError where code called
        it with a cell's text."""
        __tracebackhide__ = True  # IPython shows the user's code, and not this
        made = self._plans.pop(cell, None)
        if isinstance(made, Plan):
            return made
        if made is not None:
            raise made
        shell = self._shell
        text = "# %%task\n" + shell.transform_cell(cell)
        body = shell.compile.ast_parse(text).body
        found = make_plan(shell, self._number(), body, text, parse_task(line))
        if isinstance(found, Undefined):
            raise NameError(f"name {found.name!r} is not defined")
        code = compile(ast.Module(found.here, []), found.body.filename, "exec")
        exec(code, shell.user_global_ns, shell.user_ns)
        return found


def submit(shell: Any, plan: Plan) -> Submitted:
    """Submit a cell whose imports and definitions are done, and set its outputs in the notebook.

    Raises TypeError, ValueError for what can't be taken along.
    """
    __tracebackhide__ = True
    names, body = shell.user_ns, plan.body
    engine = context.engine or api.auto_init()
    inputs = {name: names[name] for name in plan.reads if name in names}
    values = _store_large(engine.client, inputs, plan.asked_for)
    name = plan.options.get("name") or (f"In[{plan.number}]" if plan.number else "task")
    count = max(2, 1 + len(body.outputs))  # at least two: each may fail alone
    chosen = _runner.options(**{**plan.options, "name": name, "num_returns": count})
    refs = chosen.remote(body, **values)
    names.update(zip(body.outputs, refs[1:], strict=False))
    return Submitted(name, refs[0], body.last is not None, body.outputs)


# -- from a cell's text to what is to be done ------------------------------------------------------


def make_plan(
    shell: Any, number: int, statements: list[ast.stmt], text: str, options: TaskOptions
) -> Plan | Undefined:
    """Decide what runs where. `text` is the whole cell's, with the magic's line. Raises UsageError,
    SyntaxError."""
    filename = shell.compile.cache(text, number)

    def compiled(node: ast.AST, mode: str = "exec") -> CodeType:
        flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(node, filename, mode, flags, dont_inherit=True)  # type: ignore[call-overload]
        return code

    if not statements:
        raise UsageError("%%task: this cell has nothing to run.")
    _refuse_magics(statements)
    compiled(ast.Module(statements, []))  # what is wrong with it as a whole
    try:
        whole = names_of(statements)
    except UsageError as error:
        raise UsageError(f"%%task: {error}") from None
    wanted = options.inputs
    for name, line in {**dict.fromkeys(wanted or (), 1), **whole.reads}.items():
        if hasattr(builtins, name) and name not in shell.user_ns:
            continue
        if wanted is not None and name not in wanted:
            raise UsageError(
                f"%%task: the cell reads {name!r} (line {line}), which is not among the names to "
                f"take along: -i {','.join(wanted)}"
            )
        if name not in shell.user_ns and name not in whole.sets:
            return Undefined(name, line)
    here = _definitions(statements) if options.outputs is None else []
    imports = [node for node in here if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [node for node in statements if node not in here or node in imports]
    inner = names_of(rest)
    outputs = options.outputs
    if outputs is None:
        skipped = _IPYTHONS_OWN | _imported(rest)
        outputs = tuple(name for name in inner.sets if name not in skipped)
    for name in outputs:
        if name not in inner.sets:
            raise UsageError(f"%%task: the cell never sets {name!r}, which -o asks for.")
    last, end = None, rest[-1] if rest else None
    if isinstance(end, ast.Expr) and not _quiet(shell, text):
        last = compiled(ast.Expression(end.value), "eval")
        rest.pop()
    code = compiled(ast.Module(rest, []))
    body = Body(code, last, filename, text, outputs, frozenset(inner.changes))
    reads = tuple(inner.reads) if wanted is None else wanted
    return Plan(here, body, reads, number, options.options, wanted is not None)


def _quiet(shell: Any, text: str) -> bool:
    """Whether the cell ends in a semicolon: its value is not to be shown."""
    quiet: bool = shell.displayhook.semicolon_at_end_of_expression(text.partition("\n")[2])
    return quiet


def _read(undefined: Undefined) -> ast.stmt:
    """Code that reads a name at its place in the cell, and raises the NameError there."""
    line = undefined.line
    place = {"lineno": line, "end_lineno": line, "col_offset": 0, "end_col_offset": 0}
    return ast.Expr(ast.Name(undefined.name, ast.Load(), **place), **place)


def _refuse_magics(statements: list[ast.stmt]) -> None:
    for node in (part for statement in statements for part in ast.walk(statement)):
        if isinstance(node, ast.Name) and node.id == "get_ipython":
            raise UsageError(
                f"%%task: line {node.lineno} is a magic or a shell command, or calls IPython, "
                "which there is none of in a task. Put it into another cell."
            )


def _definitions(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The imports of a cell, and those of its functions and classes that use nothing which the
    rest of the cell sets."""
    imports = [
        node
        for node in body
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and node.module != "__future__")
    ]
    sets = {id(node): set(names_of([node]).sets) for node in body}
    uses = {id(node): set(names_of([node]).reads) for node in body}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [n for n in body if isinstance(n, kinds) and sets[id(n)] == {n.name}]
    while True:
        rest = [node for node in body if node not in found and node not in imports]
        computed = set().union(*(sets[id(node)] for node in rest))
        kept = [n for n in found if not computed & (uses[id(n)] | sets[id(n)])]
        if kept == found:
            return [node for node in body if node in found or node in imports]
        found = kept


def _imported(body: Sequence[ast.stmt]) -> set[str]:
    """The names that are set by imports, and by nothing else."""
    found: set[str] = set()
    others: set[str] = set()
    for node in (part for statement in body for part in ast.walk(statement)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {a.asname or a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            others.add(node.id)
    return found - others


# -- what is taken along ---------------------------------------------------------------------------


def _store_large(client: Connection, inputs: dict[str, Any], asked_for: bool) -> dict[str, Any]:
    """The inputs with refs in place of large values. Unless they were asked for by name, says of
    them what is said of any function's. Raises TypeError, ValueError."""
    plain = {name: value for name, value in inputs.items() if type(value) is not ObjectRef}
    try:
        size = serialize(plain).size
    except Exception:
        _name_culprit(plain)
        raise
    if size <= INLINE_LIMIT:
        return inputs
    if not asked_for and size > capture.warning:
        inner = [
            (c.name, c.value)
            for value in plain.values()
            if isinstance(value, type) or callable(value)
            for c in walk(value)
            if c.value is not MISSING
        ]
        found = capture.largest([*plain.items(), *inner])
        capture.check(found, size, "This %%task cell", _MEND)
    large = capture.largest(plain.items(), INLINE_LIMIT)
    stored = {id(one.value): capture.put_once(client, one.value, one.data) for one in large}
    return {name: stored.get(id(value), value) for name, value in inputs.items()}


def _name_culprit(plain: dict[str, Any]) -> None:
    for name, value in plain.items():
        try:
            serialize(value)
        except Exception as error:
            raise TypeError(
                f"%%task: {name!r}, a {type(value).__qualname__}, can't be sent to a task: {error}"
            ) from None
