"""TLS and mutual TLS between our own clients and server, with certificates made here."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from grpc_nodes import grpc_node
from raw_ws import Received

from lexmesh import AsyncGrpcClient, ConfigError, ConnectError, GrpcTls, LinkClient

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@dataclass
class Certificates:
    """One for `localhost`, and one that nobody trusts."""

    certificate: Path
    key: Path
    other: Path
    other_key: Path


def made(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    return Certificates(*made(folder, "server"), *made(folder, "other"))


async def test_tls(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Received()
    options = {"grpc_tls_certificate": certificates.certificate, "grpc_tls_key": certificates.key}
    async with grpc_node(**options) as server:
        server.register_event_handler("t", lambda event: None)
        tls = GrpcTls(certificates.certificate)
        async with AsyncGrpcClient("client", "localhost", server.port, tls=tls) as client:
            assert (await client.send_data(data_type="t", data=b"1")).success
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.certificate))
        async with LinkClient("link", f"grpcs://localhost:{server.port}") as link:
            await link.subscribe("t", handler=heard, echo=True)
            link.publish("t", 2)
            assert (await heard.wait())[0].data == 2
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(ConnectError, match=r"not trusted|TLS handshake failed"):
            await AsyncGrpcClient("client", "localhost", server.port, tls=GrpcTls(certificates.other)).connect(5)
        with pytest.raises(ConnectError, match="grpcs://"):
            await AsyncGrpcClient("client", "localhost", server.port).connect(5)
        with pytest.raises(ConnectError):
            await LinkClient("link", f"grpc://localhost:{server.port}").connect(5)


async def test_mutual_tls(certificates: Certificates) -> None:
    options = {
        "grpc_tls_certificate": certificates.certificate,
        "grpc_tls_key": certificates.key,
        "grpc_tls_client_ca": certificates.certificate,
    }
    async with grpc_node(**options) as server:
        known = GrpcTls(certificates.certificate, certificates.certificate, certificates.key)
        async with AsyncGrpcClient("client", "localhost", server.port, tls=known) as client:
            assert (await client.health_check()).healthy
        for tls in (
            GrpcTls(certificates.certificate),
            GrpcTls(certificates.certificate, certificates.other, certificates.other_key),
        ):
            with pytest.raises(ConnectError):
                await AsyncGrpcClient("stranger", "localhost", server.port, tls=tls).connect(5)


async def test_files_that_are_not_there(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls\.ca_file = .*no such file"):
        await AsyncGrpcClient("client", tls=GrpcTls(tmp_path / "none")).connect()
    with pytest.raises(ConfigError, match="needs its key"):
        await AsyncGrpcClient("client", tls=GrpcTls(None, certificates.certificate)).connect()
