"""How the file is opened, what is in it, and what is said where it cannot be asked."""

import hashlib
import os
import socket
import sqlite3
import time
from pathlib import Path

from tokensvc.errors import TemporarilyUnavailable

BUSY_SECONDS = 5.0
"""How long a step waits for another process's transaction before it answers 503."""

SCHEMA = """
-- Every change of a row takes a new seq, higher than any before it: what is new since a seq is found by it.
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL UNIQUE,
    not_before INTEGER NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS families (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL, expires INTEGER NOT NULL, floor INTEGER NOT NULL,
    recent TEXT NOT NULL, redemption TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spent (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, use TEXT NOT NULL UNIQUE, expires INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS offers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL, expires INTEGER NOT NULL, decision TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS families_expire ON families (expires);
CREATE INDEX IF NOT EXISTS spent_expire ON spent (expires);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Transactions are begun and ended by hand; a commit is on disk when it returns."""
    # It names accounts and users. What sqlite puts beside it gets the same rights.
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Where several processes make a new file at once, each switches it; sqlite itself does not wait for that."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
            time.sleep(0.01)
        else:
            return


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def place_of(path: Path) -> int:
    """A number for the file and the machine that it lies on, never 0; a copy of the file has another."""
    place = f"{socket.gethostname()}\0{file_at(path)}"
    return int.from_bytes(hashlib.sha256(place.encode()).digest()[:7]) or 1


def unavailable(error: Exception) -> TemporarilyUnavailable:
    return TemporarilyUnavailable("the ledger cannot be asked", reason=f"ledger: {type(error).__name__}: {error}")
