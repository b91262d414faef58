"""ActorGroup: several actors of one class that are started, called and ended together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import raykernel as ray
from raykernel.refs import ObjectRef

#: Seconds that actors have to end by themselves before they are killed.
PATIENCE_S = 5.0


class ActorWrapper:
    """One actor of a group. `metadata` is always None here."""

    def __init__(self, actor: Any, metadata: Any = None) -> None:
        self.actor = actor
        self.metadata = metadata

    def __repr__(self) -> str:
        return f"ActorWrapper(actor={self.actor!r}, metadata={self.metadata!r})"


class ActorGroupMethod:
    """A method of all actors of a group."""

    def __init__(self, group: ActorGroup, name: str) -> None:
        self._group = group
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "ActorGroup methods cannot be called directly. Instead of running "
            f"'object.{self._name}()', try 'object.{self._name}.remote()'."
        )

    def remote(self, *args: Any, **kwargs: Any) -> list[ObjectRef[Any]]:
        """Call the method on every actor; the refs, in the actors' order."""
        self._group._expect_started()
        return [
            getattr(wrapper.actor, self._name).remote(*args, **kwargs)
            for wrapper in self._group.actors
        ]


class ActorGroup:
    """`num_actors` actors of the (undecorated) class `actor_cls`.

    `group.method.remote(...)` calls the method on all of them. Raises ValueError for numbers that
    make no sense, TypeError for arguments that the class doesn't take.
    """

    def __init__(
        self,
        actor_cls: type,
        num_actors: int = 1,
        num_cpus_per_actor: float = 1,
        num_gpus_per_actor: float = 0,
        resources_per_actor: dict[str, float] | None = None,
        init_args: Iterable[Any] | None = None,
        init_kwargs: dict[str, Any] | None = None,
    ) -> None:
        warnings.warn(
            "ActorGroup is deprecated in Ray. For stateless/task processing, use "
            "ray.util.multiprocessing; for actors, ray.util.ActorPool.",
            DeprecationWarning,
            stacklevel=2,
        )
        if num_actors <= 0:
            raise ValueError(
                "The provided `num_actors` must be greater than 0. "
                f"Received num_actors={num_actors} instead."
            )
        if num_cpus_per_actor < 0 or num_gpus_per_actor < 0:
            raise ValueError(
                "The number of CPUs and GPUs per actor must not be negative. Received "
                f"num_cpus_per_actor={num_cpus_per_actor} and "
                f"num_gpus_per_actor={num_gpus_per_actor}."
            )
        if not isinstance(actor_cls, type):
            raise TypeError(
                f"actor_cls must be a plain class, without @ray.remote, not {actor_cls!r}"
            )
        self.num_actors = num_actors
        self.actors: list[ActorWrapper] = []
        self._remote_cls = ray.remote(
            num_cpus=num_cpus_per_actor,
            num_gpus=num_gpus_per_actor,
            resources=resources_per_actor,
        )(actor_cls)
        self._init_args = tuple(init_args or ())
        self._init_kwargs = dict(init_kwargs or {})
        self.start()

    def start(self) -> None:
        """Start the actors, again after a `shutdown`. Raises RuntimeError if they run."""
        if self.actors:
            raise RuntimeError(
                "The actors have already been started. Please call `shutdown` first if you want "
                "to restart them."
            )
        self.add_actors(self.num_actors)

    def shutdown(self, patience_s: float = PATIENCE_S) -> None:
        """End all actors once their calls are done; after `patience_s` seconds (at once for 0 or
        less) kill those that still run."""
        _end([wrapper.actor for wrapper in self.actors], patience_s)
        self.actors = []

    def add_actors(self, num_actors: int) -> None:
        """Start that many more."""
        self.actors += [
            ActorWrapper(self._remote_cls.remote(*self._init_args, **self._init_kwargs))
            for _ in range(num_actors)
        ]

    def remove_actors(self, actor_indexes: Sequence[int]) -> None:
        """End the actors at these places."""
        gone = {range(len(self.actors))[index] for index in actor_indexes}
        _end([self.actors[index].actor for index in gone], PATIENCE_S)
        self.actors = [w for index, w in enumerate(self.actors) if index not in gone]

    @property
    def actor_metadata(self) -> list[Any]:
        """What is known of each actor's whereabouts: None for each, on one machine."""
        return [wrapper.metadata for wrapper in self.actors]

    def _expect_started(self) -> None:
        if not self.actors:
            raise RuntimeError("This ActorGroup has been shutdown. Please start it again.")

    def __getattr__(self, name: str) -> ActorGroupMethod:
        if name.startswith("__") or "actors" not in self.__dict__:  # half-made, when unpickled
            raise AttributeError(name)
        self._expect_started()
        return ActorGroupMethod(self, name)

    def __len__(self) -> int:
        return len(self.actors)

    def __getitem__(self, index: int) -> ActorWrapper:
        return self.actors[index]


def _end(actors: list[Any], patience_s: float) -> None:
    if patience_s > 0 and actors:
        ends = [actor.__ray_terminate__.remote() for actor in actors]
        ray.wait(ends, num_returns=len(ends), timeout=patience_s)
    for actor in actors:
        ray.kill(actor)


__all__ = ["ActorGroup", "ActorGroupMethod", "ActorWrapper"]
