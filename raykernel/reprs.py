"""How refs, remote functions, actors and sessions show themselves in a notebook.

Imported when one is displayed, and only then. Showing a thing fetches no value and keeps none
alive; what this process doesn't know the head is asked, and not for longer than `PATIENCE`. In a
list, where there may be thousands, a ref is just its id.
"""

from __future__ import annotations

import inspect
import sys
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from raykernel.amounts import size as in_words
from raykernel.runtime import context
from raykernel.runtime import messages as m

if TYPE_CHECKING:
    from raykernel.actor import ActorClass, ActorHandle
    from raykernel.lifetime import RayContext
    from raykernel.refs import ObjectRef
    from raykernel.remote import RemoteFunction

PATIENCE = 0.2

#: A mark before each state's word, so that nothing hangs on colour.
_MARKS = {"ready": "&#10003;", "pending": "&#8987;", "failed": "&#10007;", "freed": "&#8709;"}
_TASK_STATES = {"WAITING": "waiting for its arguments", "READY": "waiting for a worker",
                "RUNNING": "running"}  # fmt: skip


def _ask(client: Any, what: str, **filters: Any) -> dict[str, Any]:
    """The head's answer; empty if it doesn't come at once."""
    if client is None or client.closed:
        return {}
    try:
        data = client.request(lambda number: m.Query(number, what, filters), PATIENCE)
        found: dict[str, Any] = msgspec.msgpack.decode(data)
    except Exception:  # whatever it is: a repr never fails
        return {}
    return found


# -- refs -----------------------------------------------------------------------------------------


def about_ref(ref: ObjectRef[Any]) -> tuple[str, list[str]]:
    """A ref's state in one word, and what there is to say of it besides."""
    client = ref._client
    if client is None and context.engine is not None:
        client = context.engine.client
    if client is None or client.closed:
        return "unknown", ["its session is over" if client is not None else "no session"]
    found = _ask(client, "object", object=ref._id)
    if not found:
        value = client.peek(ref._id)
        state = "unknown" if value is None else "failed" if value.error else "ready"
        return state, []
    state = found["state"]
    words = []
    if state == "pending" and found["task_state"] in _TASK_STATES:
        words.append(_TASK_STATES[found["task_state"]])
    if state == "failed" and found["error"]:
        words.append(found["error"])
    if state == "ready":
        words.append(in_words(found["size"]) + (" in shared memory" if found["shared"] else ""))
    if found.get("function"):
        words.append(f"from {found['function']}")
    return state, words


def ref_text(ref: ObjectRef[Any]) -> str:
    state, words = about_ref(ref)
    return f"ObjectRef({', '.join([ref.hex(), state, *words])})"


def ref_html(ref: ObjectRef[Any]) -> str:
    state, words = about_ref(ref)
    return _line("ObjectRef", [_state(state), *map(escape, words)], ref.hex())


# -- functions and actors -------------------------------------------------------------------------


def function_html(function: RemoteFunction) -> str:
    inner = function._function
    name = getattr(inner, "__qualname__", repr(inner))
    parts = [f"<code>{escape(name + _signature(inner))}</code>", *_options(function._options)]
    return _line("Remote function", parts, _place(inner)) + _doc(inner)


def class_html(cls: ActorClass) -> str:
    inner = cls._cls
    names = [name for name in cls._methods if not name.startswith("_")]
    methods = ", ".join(f"<code>{escape(name)}</code>" for name in names[:12])
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    parts = [f"<code>{escape(inner.__qualname__)}</code>", *_options(cls._options)]
    if methods:
        parts.append(f"methods {methods}{more}")
    return _line("Actor class", parts, _place(inner)) + _doc(inner)


def _about_actor(handle: ActorHandle) -> tuple[str, list[str]]:
    if handle._client.closed:
        return "unknown", ["its session is over"]
    found = _ask(handle._client, "actor_state", actor=handle._id)
    if not found:
        return "unknown", []
    words = [f"named {found['name']}"] if found.get("name") else []
    if found.get("pid"):
        words.append(f"pid {found['pid']}")
    if found.get("restarts"):
        words.append(f"{found['restarts']} restarts")
    if found.get("queued"):
        words.append(f"{found['queued']} calls waiting")
    if handle._ref is None:
        words.append("this handle doesn't keep it alive")
    return str(found["state"]).lower(), words


def actor_text(handle: ActorHandle) -> str:
    state, words = _about_actor(handle)
    return f"Actor({', '.join([handle._meta.class_name, handle._id.hex(), state, *words])})"


def actor_html(handle: ActorHandle) -> str:
    state, words = _about_actor(handle)
    name = f"<code>{escape(handle._meta.class_name)}</code>"
    return _line("Actor", [name, _state(state), *map(escape, words)], handle._id.hex())


# -- sessions -------------------------------------------------------------------------------------


def about_session(found: RayContext) -> list[tuple[str, str]]:
    engine = context.engine
    name = found.address_info["session_name"]
    if engine is None or engine.session != name or engine.client.closed:
        return [("session", f"{name} (ended)")]
    total = engine.query("resources")["total"]
    rows = [("session", name), ("CPUs", f"{total.get('CPU', 0):g}")]
    if engine.name == "ray":
        rows.insert(1, ("Ray cluster", found["address"]))
    if total.get("GPU"):
        rows.append(("GPUs", f"{total['GPU']:g}"))
    from raykernel import __version__

    rows.append(("object store", in_words(int(total.get("object_store_memory", 0)))))
    rows.append(("Python", found.python_version))
    rows.append(("raykernel", __version__))
    rows.append(("folder", found.address_info["session_dir"]))
    return rows


def session_html(found: RayContext) -> str:
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in about_session(found)
    )
    return f'<table aria-label="Session">{rows}</table>'


# -- parts ----------------------------------------------------------------------------------------


def _line(kind: str, parts: list[str], ident: str) -> str:
    body = " &middot; ".join(parts)
    return (
        f"<div><strong>{kind}</strong> {body}"
        f'<div style="opacity:0.65;font-size:0.85em"><code>{escape(ident)}</code></div></div>'
    )


def _state(state: str) -> str:
    mark = _MARKS.get(state, "")
    return f'<span aria-hidden="true">{mark}</span> {escape(state)}' if mark else escape(state)


def _signature(function: Any) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return "(…)"


def _options(options: dict[str, Any]) -> list[str]:
    return [
        f"<code>{escape(name)}={escape(_short(value))}</code>"
        for name, value in options.items()
        if value is not None
    ]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _place(thing: Any) -> str:
    module = getattr(thing, "__module__", "")
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"{module} ({file})" if file else str(module)


def _doc(thing: Any) -> str:
    text = (inspect.getdoc(thing) or "").partition("\n")[0]
    return f"<div>{escape(text)}</div>" if text else ""
