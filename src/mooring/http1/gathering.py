"""A body that comes in many pieces: put together while it comes, in one block of its final size.

A list of the pieces is cheaper for what comes in a few reads. But hundreds of slow bodies at a time, in pieces of tens
of kilobytes each and every one joined at its end, leave holes between them that no joined body fits in: the process
then holds twice what its bodies take.
"""

from __future__ import annotations

from io import BytesIO

MOST_PIECES = 16
"""Above so many a list is given up."""
LARGE_BYTES = 2 * 1024 * 1024
"""Above this a list is not begun."""


class Gathered:
    """One body. `size` is its length; None when that is not known yet."""

    __slots__ = ("_block",)

    def __init__(self, size: int | None) -> None:
        # A BytesIO writes into a bytes object, which `getvalue` gives away without a copy.
        self._block = BytesIO()
        if size:
            self._block.seek(size - 1)
            self._block.write(b"\0")
            self._block.seek(0)

    def take(self, pieces: list[bytes]) -> None:
        """Put these behind what is there, and empty the list."""
        self._block.writelines(pieces)
        pieces.clear()

    def whole(self) -> bytes:
        """The body, once all of it was taken."""
        return self._block.getvalue()
