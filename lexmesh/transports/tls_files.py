"""Whether certificates and keys are usable, and which file is not: grpc itself gives no reason."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

PathLike = str | os.PathLike[str]


class TlsFileError(Exception):
    """A file is not what it should be.

    Args:
        kind: which: certificate, key or authority.
        reason: what is wrong with it.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


def read_pair(certificate: PathLike, key: PathLike) -> tuple[bytes, bytes]:
    """Reads a certificate chain and its key, both PEM.

    Raises:
        TlsFileError: if one cannot be read, is none, or the key is another's.
    """
    chain, secret = _read("certificate", certificate), _read("key", key)
    _check_certificates("certificate", certificate)
    encrypted: list[bool] = []

    def passphrase() -> str:
        encrypted.append(True)
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        raise TlsFileError("key", _key_reason(error, certificate, bool(encrypted))) from None
    return chain, secret


def read_authority(file: PathLike) -> bytes:
    """Reads the certificates (PEM) of those who are trusted.

    Raises:
        TlsFileError: if the file cannot be read, or holds none.
    """
    found = _read("authority", file)
    _check_certificates("authority", file)
    return found


def _read(kind: str, file: PathLike) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise TlsFileError(kind, (error.strerror or str(error)).lower()) from None


def _check_certificates(kind: str, file: PathLike) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise TlsFileError(kind, "holds no certificate that can be read; it must be PEM") from None


def _key_reason(error: ssl.SSLError, certificate: PathLike, encrypted: bool) -> str:
    if encrypted:
        return "is encrypted; give a key without a passphrase"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"is not the key of the certificate '{os.fspath(certificate)}'"
    if error.reason:
        return f"cannot be used with its certificate: {error.reason.lower().replace('_', ' ')}"
    return "holds no private key that can be read; it must be PEM"
