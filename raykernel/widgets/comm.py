"""A comm whose messages belong to no request: a front end finds it by its id.

ipykernel's own looks a request up in the calling thread's context, which is another cell's on its
own IO threads and, in ipykernel 7.0, an error on ours. And nbclient would write the state of each
widget that a cell's messages describe into the notebook.
"""

from __future__ import annotations

from typing import Any


def open_free(kernel: Any, **options: Any) -> Any:
    """Open such a comm from this kernel; `options` are those of `comm.BaseComm`."""
    from ipykernel.comm.comm import BaseComm

    class FreeComm(BaseComm):
        # ipywidgets sends nothing where this is None
        kernel: Any = None
        is_free = True

        def publish_msg(
            self,
            msg_type: str,
            data: Any = None,
            metadata: Any = None,
            buffers: Any = None,
            **keys: Any,
        ) -> None:
            self.kernel.session.send(
                self.kernel.iopub_socket,
                msg_type,
                {"data": data or {}, "comm_id": self.comm_id, **keys},
                parent=None,
                ident=self.topic,
                metadata=metadata or {},
                buffers=buffers,
            )

    FreeComm.kernel = kernel
    return FreeComm(**options)  # type: ignore[no-untyped-call]  # ipykernel leaves it so


def is_free(comm: Any) -> bool:
    """Whether it is one of these."""
    return bool(getattr(comm, "is_free", False))
