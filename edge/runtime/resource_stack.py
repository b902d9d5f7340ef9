"""What somebody took from CUDA and TensorRT, given back in reverse order."""

from __future__ import annotations

import contextlib
import traceback
from typing import Any, Callable, Iterator

from edge.runtime.calls import call


@contextlib.contextmanager
def release_traceback_locals() -> Iterator[None]:
    """Let an error out of a block without what the calls in it had in hand.

    A caller may keep an error, and its traceback keeps the local variables of every call that it went through: objects
    that free themselves would live beyond the end of their CUDA context.
    """
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


class ResourceStack:
    """Objects by name, kept here alone so that nothing else keeps them alive.

    TensorRT and pycuda free most things in a destructor, which has to run while their CUDA context is current.
    Memory has a `free` of its own.
    """

    def __init__(self) -> None:
        self._resources: dict[str, Any] = {}
        self._release = contextlib.ExitStack()

    def __getitem__(self, name: str) -> Any:
        return self._resources[name]

    def __contains__(self, name: str) -> bool:
        return name in self._resources

    def push(
        self, name: str, resource: Any, free: tuple[str, Callable[[Any], Callable[[], None]]] | None = None
    ) -> Any:
        """Keep an object.

        Args:
            name: under which it is found; new.
            resource: the object.
            free: name of the call that frees it, and what finds that call in the object; None if its destructor does.

        Returns:
            The object.
        """
        assert name not in self._resources, name
        self._resources[name] = resource
        self._release.callback(self._drop, name, free)
        return resource

    def replace(self, name: str, make: Callable[[], Any]) -> Any:
        """Give an object up that its destructor frees, then put another in its place."""
        self._resources[name] = None
        self._resources[name] = make()
        return self._resources[name]

    def _drop(self, name: str, free: tuple[str, Callable[[Any], Callable[[], None]]] | None) -> None:
        resource = self._resources.pop(name)
        if free is not None:
            call(free[0], free[1](resource))

    def release(self) -> None:
        """Give everything back, the last first. One failure does not keep the others; it is raised at the end.

        Raises:
            BackendError: of the call that failed.
        """
        try:
            call("freeing the engine and its memory", self._release.close)
        finally:
            self._release.pop_all()
            self._resources.clear()
