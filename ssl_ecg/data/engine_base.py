"""The contract of engines, which do the parts of some work elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Shared = TypeVar("Shared")
Part = TypeVar("Part")
Result = TypeVar("Result")


class Engine(ABC):
    """Does the parts of some work, several at once, and gives the results in the order of the parts."""

    @abstractmethod
    def map(
        self, work: Callable[[Shared, Part], Result], shared: Shared, parts: Iterable[Part]
    ) -> Generator[Result, None, None]:
        """Give ``work(shared, part)`` for every part.

        Only a few parts are on the way at any moment. A part may be done twice, if the process that did it was
        lost: `work` must give the same each time.

        Parameters
        ----------
        work : function of a module
        shared : object
            Handed over once and not with every part; picklable.
        parts : iterable of object
            Small and picklable, as are the results.

        Raises
        ------
        ArchiveError
            If the processes or workers are gone, and whatever error of the library `work` raises.
        """

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most engines hold nothing
        """Let go of what the engine holds; work on the way is given up."""
