"""Certificates that tests make for themselves: an authority, and whom it signs."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from requirements import absent

EXTENSIONS = """\
subjectAltName=DNS:localhost,IP:127.0.0.1
basicConstraints=CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
"""With which Python 3.13 is content, which checks as strictly as RFC 5280 says (VERIFY_X509_STRICT)."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


class Authority(Pair):
    """Signs certificates for `localhost` and 127.0.0.1."""

    @classmethod
    def made_in(cls, directory: Path) -> "Authority":
        if shutil.which("openssl") is None:
            absent("no openssl: apt-get install openssl")
        pair = cls(directory / "ca.pem", directory / "ca.key")
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl("req", "-x509", *_new_key(pair, "/CN=authority"), "-days", "1", *usage, "-out", pair.certificate)
        return pair

    def sign(self, name: str) -> Pair:
        """A certificate of somebody's, signed."""
        directory = self.certificate.parent
        pair, request = Pair(directory / f"{name}.pem", directory / f"{name}.key"), directory / f"{name}.csr"
        extensions = directory / "extensions"
        extensions.write_text(EXTENSIONS)
        _openssl("req", *_new_key(pair, f"/CN={name}"), "-out", request)
        signed = ["-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "1"]
        _openssl("x509", "-req", "-in", request, *signed, "-extfile", extensions, "-out", pair.certificate)
        return pair


def _new_key(pair: Pair, subject: str) -> list[str | Path]:
    return ["-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", pair.key]


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
