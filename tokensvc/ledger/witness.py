"""The witness: a file beside the sqlite ledger that knows how far the ledger had come.

A backup that is put back holds an earlier heartbeat than the witness, or has lost its witness; either way what was
revoked or redeemed since is unknown, and the ledger's memory begins anew. Moving a ledger means moving both files.
"""

import os
import tempfile
from pathlib import Path


class Witness:
    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(f"{ledger.name}-witness")

    def read(self) -> int | None:
        """The last heartbeat that was seen, in milliseconds; None if there is no witness or nothing legible in it."""
        try:
            return int(self._path.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, beat: int) -> None:
        """Replace the file in one step that a crash cannot halve, unless another process has come further."""
        if (self.read() or 0) >= beat:
            return
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}-", dir=self._path.parent)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(str(beat))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
