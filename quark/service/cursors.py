"""Cursors as clients get them: sealed, because they hold row numbers, which count the records of all projects.

A sealed cursor is a synthetic initialization vector (RFC 5297) and the cursor encrypted under it. Whoever has no secret
learns nothing from it but whether two are equal, and can make none: it is good for the list that it was made for only.
"""

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from .problems import ProblemError

SECRET = "cursors"
"""The file of the secret, in the data directory, which replicas share. Without it cursors of before are refused."""

_TAG_BYTES = 12
_PADDED = 256


class Cursors:
    """Seals cursors and opens them again.

    Args:
        secret: at least 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._tag_key = hashlib.sha256(b"tag" + secret).digest()
        self._key = hashlib.sha256(b"stream" + secret).digest()

    def seal(self, plain: bytes, about: str) -> bytes:
        """A sealed cursor of the list ``about``."""
        tag = self._tag(plain, about)
        return tag + self._crypt(tag, plain)

    def open(self, sealed: bytes, about: str) -> bytes:
        """The cursor.

        Raises:
            ProblemError: 400, it was not made here, or for another list.
        """
        tag, rest = sealed[:_TAG_BYTES], sealed[_TAG_BYTES:]
        plain = self._crypt(tag, rest)
        if not hmac.compare_digest(tag, self._tag(plain, about)):
            raise _no_cursor()
        return plain

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

    def _tag(self, plain: bytes, about: str) -> bytes:
        whole = len(plain).to_bytes(8, "big") + plain + about.encode()
        return hashlib.blake2b(whole, key=self._tag_key, digest_size=_TAG_BYTES).digest()

    def _crypt(self, tag: bytes, text: bytes) -> bytes:
        stream = hashlib.shake_256(self._key + tag).digest(len(text))
        return bytes(one ^ other for one, other in zip(text, stream, strict=True))


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
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _no_cursor() -> ProblemError:
    return ProblemError(400, "after is the next of the page before, of the same list", field="after")
