"""Cursors as clients get them: sealed, because they hold row numbers, which count the records of all projects.

They are sealed with AES-SIV (RFC 5297), without a nonce: whoever has no secret learns nothing from a cursor but whether
two are equal, and can make none. Each is good only for the list that it was made for.
"""

import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from .problems import ProblemError

SECRET = "cursors"
"""The file of the secret, in the data directory, which replicas share. Without it cursors of before are refused."""

_PADDED = 256


class Cursors:
    """Seals cursors and opens them again.

    Args:
        secret: at least 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        self._cipher = AESSIV(hashlib.sha512(secret).digest())

    def seal(self, plain: bytes, about: str) -> bytes:
        """A sealed cursor of the list ``about``."""
        return self._cipher.encrypt(plain, [about.encode()])

    def open(self, sealed: bytes, about: str) -> bytes:
        """The cursor.

        Raises:
            ProblemError: 400, it was not made here, or for another list.
        """
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed, [about.encode()])
        except (InvalidTag, ValueError):
            raise _no_cursor() from None

    def seal_number(self, number: int, about: str) -> str:
        """A cursor that is a number, as one: a client may compute with it, but to no avail."""
        sealed = self.seal(_bytes_of(number), about)
        return str(int.from_bytes(b"\1" + sealed, "big"))  # the first byte keeps zeros behind it

    def open_number(self, text: str, about: str) -> int:
        """The number; raises like ``open``."""
        return int.from_bytes(self.open(_bytes_of(int(text))[1:], about), "big")

    def seal_text(self, text: str, about: str) -> str:
        """A cursor that is text, of which not even the length is told."""
        padded = text.encode() + b"\n" * (-len(text.encode()) % _PADDED)
        return urlsafe_b64encode(self.seal(padded, about)).decode()

    def open_text(self, text: str, about: str) -> str:
        """The text; raises like ``open``."""
        try:
            sealed = urlsafe_b64decode(text.encode())
        except ValueError:
            raise _no_cursor() from None
        return self.open(sealed, about).decode().rstrip("\n")


def cursors_of(directory: Path) -> Cursors:
    """The cursors of the service with a data directory; the first of its processes makes the secret."""
    path = directory / SECRET
    if not path.exists():
        made = path.with_name(f"{SECRET}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(made, path)
        except FileExistsError:
            pass  # another process was quicker
        finally:
            made.unlink()
    return Cursors(path.read_bytes())


def _bytes_of(number: int) -> bytes:
    return number.to_bytes(max((number.bit_length() + 7) // 8, 1), "big")


def _no_cursor() -> ProblemError:
    return ProblemError(400, "after is the next of the page before, of the same list", field="after")
