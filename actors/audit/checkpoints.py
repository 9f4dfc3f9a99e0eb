"""Signed checkpoints: what the log was at a moment, for somebody else to keep.

Whoever can write the database can make all links of its chain anew. They cannot make them fit
to a checkpoint that an auditor holds, nor sign another one. The signature is Ed25519, the keys
are nkeys, as NATS has them: a seed, which signs and stays, and a public key, which begins with U.
"""

from __future__ import annotations

import os
from base64 import b32decode, b64decode, b64encode
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import nkeys
from msgspec import Struct
from msgspec.structs import replace
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from messages.units import to_datetime
from persistence.chain.chain import LINK_BYTES
from persistence.chain.check import Heads

_KEY_BYTES: Final = 32
_NO_SEED: Final = "the key file has no nkey seed"  # and nothing of what it has


class CheckpointError(Exception):
    """A key or a checkpoint is of no use; the message says why in one line."""


class Checkpoint(Struct, frozen=True, omit_defaults=True):
    """The newest link of each partition as of a position.

    Attributes:
        meterd_checkpoint: the version of this form.
        seq: the position.
        links: by partition, in hexadecimal digits.
        taken_at: when.
        public_key: of who signed it.
        signature: of the JSON text of all other fields, in base64.
    """

    meterd_checkpoint: int
    seq: int
    links: tuple[str, ...]
    taken_at: datetime
    public_key: str
    signature: str = ""


def new_seed(random: Callable[[int], bytes]) -> str:
    """The seed of a new key pair."""
    return str(nkeys.encode_seed(random(_KEY_BYTES), nkeys.PREFIX_BYTE_USER).decode())


def public_key_of(seed: str) -> str:
    """The public key of a seed; raises `CheckpointError`."""
    return _pair(seed)[1]


def signed(heads: Heads, at: int, seed: str) -> Checkpoint:
    """A checkpoint of these links.

    Args:
        heads: the newest links of the log.
        at: microseconds since the epoch.
        seed: of who signs it.

    Raises:
        CheckpointError: the seed is invalid.
    """
    key, public = _pair(seed)
    links = (heads.links[at : at + LINK_BYTES] for at in range(0, len(heads.links), LINK_BYTES))
    checkpoint = Checkpoint(
        1, heads.seq, tuple(link.hex() for link in links), to_datetime(at), public
    )
    signature = key.sign(msgspec.json.encode(checkpoint)).signature
    return replace(checkpoint, signature=b64encode(signature).decode())


def read(path: Path, public_key: str | None) -> tuple[Checkpoint, Heads]:
    """A checkpoint from a file, and its links.

    Args:
        path: the file.
        public_key: who has to have signed it, None: whoever it names.

    Raises:
        CheckpointError: it cannot be read, is invalid, or is not signed by that key.
    """
    try:
        checkpoint = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
        links = b"".join(map(bytes.fromhex, checkpoint.links))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # DecodeError is one
        raise CheckpointError(f"{path} is no checkpoint: {error}") from None
    if checkpoint.meterd_checkpoint != 1:
        raise CheckpointError(f"{path} is of a newer meterd")
    if public_key is not None and checkpoint.public_key != public_key:
        raise CheckpointError(f"{path} is signed by {checkpoint.public_key}, not by {public_key}")
    try:
        signature = b64decode(checkpoint.signature, validate=True)
        text = msgspec.json.encode(replace(checkpoint, signature=""))
        _verify_key(checkpoint.public_key).verify(text, signature)
    except (BadSignatureError, ValueError):
        raise CheckpointError(f"{path} is not as it was signed") from None
    return checkpoint, Heads(checkpoint.seq, links, str(path))


def read_seed(path: Path) -> str:
    """The seed of a file; raises `CheckpointError`."""
    try:
        return path.read_text("ascii")
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CheckpointError(_NO_SEED) from None


def write_seed(path: Path, seed: str) -> None:
    """Write a seed to a new file that only its owner can read.

    Raises:
        CheckpointError: it is there, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(seed + "\n")
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None


def _pair(seed: str) -> tuple[SigningKey, str]:
    try:
        text = seed.strip().encode()
        pair: Any = nkeys.from_seed(text)  # its annotations are of another type
        return SigningKey(bytes(nkeys.decode_seed(text)[1])), pair.public_key.decode()
    except (nkeys.NkeysError, ValueError):
        raise CheckpointError(_NO_SEED) from None


def _verify_key(text: str) -> VerifyKey:
    """The key of its text: a byte for its kind, 32 of the key, and two of a checksum."""
    whole = b32decode(text + "=" * (-len(text) % 8))
    if len(whole) != 1 + _KEY_BYTES + 2 or nkeys.crc16(whole[:-2]) != int.from_bytes(
        whole[-2:], "little"
    ):
        raise ValueError("it is no public key")
    return VerifyKey(whole[1:-2])
