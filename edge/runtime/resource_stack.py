"""Objects of CUDA and TensorRT, which are freed in the reverse order of their creation."""

from __future__ import annotations

import contextlib
import traceback
from typing import Any, Callable, Iterator

from edge.runtime.calls import call


@contextlib.contextmanager
def release_traceback_locals() -> Iterator[None]:
    """Clear the local variables from the traceback of an error that leaves the block.

    A caller may keep an error, and its traceback keeps the local variables of every call that it went through. Objects
    that free themselves would then outlive their CUDA context.
    """
    try:
        yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise


class ResourceStack:
    """Named objects that only this stack keeps alive, freed last in, first out.

    TensorRT and pycuda free most objects in a destructor, which has to run while their CUDA context is current. Memory
    has a method `free` of its own.
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
        """Add an object to the stack.

        Args:
            name: New name under which the object is found.
            resource: Object that the stack keeps alive.
            free: Name of the call that frees the object, and a function that returns this call for the object; None if
                the object's destructor frees it.

        Returns:
            The object itself.
        """
        assert name not in self._resources, name
        self._resources[name] = resource
        self._release.callback(self._drop, name, free)
        return resource

    def replace(self, name: str, make: Callable[[], Any]) -> Any:
        """Drop an object that its destructor frees, then put a new one in its place."""
        self._resources[name] = None
        self._resources[name] = make()
        return self._resources[name]

    def _drop(self, name: str, free: tuple[str, Callable[[Any], Callable[[], None]]] | None) -> None:
        resource = self._resources.pop(name)
        if free is not None:
            call(free[0], free[1](resource))

    def release(self) -> None:
        """Free all objects, the last first; a failure does not stop the others, and is raised at the end.

        Raises:
            BackendError: A call that frees an object failed.
        """
        try:
            call("freeing the engine and its memory", self._release.close)
        finally:
            self._release.pop_all()
            self._resources.clear()
