"""TLS and mutual TLS between our own clients and server, with certificates made here."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_process import assert_one_line, lexmesh
from grpc_nodes import grpc_node
from raw_ws import Received

from lexmesh import AsyncGrpcClient, ConfigError, ConnectError, GrpcClient, GrpcServer, GrpcTls, LinkClient, MeshConfig

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


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file that is no PEM."""
    file = tmp_path / "bad.pem"
    file.write_text("no certificate\n")
    return file


async def test_files_of_a_server_that_are_no_good(certificates: Certificates, text: Path) -> None:
    good = {"grpc_tls_certificate": certificates.certificate, "grpc_tls_key": certificates.key}
    cases = [
        ({"grpc_tls_certificate": text}, r"grpc_tls_certificate = .*bad\.pem'.* no certificate"),
        ({"grpc_tls_key": text}, r"grpc_tls_key = .*bad\.pem'.* no private key"),
        ({"grpc_tls_key": certificates.other_key}, r"grpc_tls_key = .*other\.key'.* is not the key of .*server\.pem"),
        ({"grpc_tls_client_ca": text}, r"grpc_tls_client_ca = .*bad\.pem'.* no certificate"),
    ]
    for wrong, reason in cases:
        with pytest.raises(ConfigError, match=reason):
            await GrpcServer("node", 0, config=MeshConfig(**{**good, **wrong})).open()


def test_the_gateway_names_the_file(certificates: Certificates, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXMESH_GRPC_TLS_CERTIFICATE", str(text))
    monkeypatch.setenv("LEXMESH_GRPC_TLS_KEY", str(certificates.key))
    found = lexmesh("mesh", "start", "--port", "0", "--grpc-port", "0")
    assert_one_line(found, found.returncode, "LEXMESH_GRPC_TLS_CERTIFICATE: grpc_tls_certificate", str(text), "PEM")
    assert found.returncode != 0


def test_an_encrypted_key_is_not_asked_about(certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "encrypted.key"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", str(certificates.key), "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    tls = GrpcTls(certificates.certificate, certificates.certificate, key)
    with pytest.raises(ConfigError, match="encrypted"):
        GrpcClient("client", tls=tls).connect()


def test_files_of_a_client_that_are_no_good(
    certificates: Certificates, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        (GrpcTls(text), r"tls\.ca_file = .*bad\.pem'.* no certificate"),
        (GrpcTls(None, text, certificates.key), r"tls\.certificate_file = .*bad\.pem'.* no certificate"),
        (GrpcTls(None, certificates.certificate, text), r"tls\.key_file = .*bad\.pem'.* no private key"),
        (GrpcTls(None, certificates.certificate, certificates.other_key), r"tls\.key_file = .* is not the key of"),
    ]
    for tls, reason in cases:
        with pytest.raises(ConfigError, match=reason):
            GrpcClient("client", tls=tls).connect()
    monkeypatch.setenv("SSL_CERT_FILE", str(text))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE: .*bad\.pem"):
        GrpcClient("client", tls=GrpcTls()).connect()


async def test_a_name_that_the_certificate_does_not_bear(certificates: Certificates) -> None:
    options = {"grpc_tls_certificate": certificates.certificate, "grpc_tls_key": certificates.key}
    async with grpc_node(**options) as server:
        tls = GrpcTls(certificates.certificate, server_name="other.example")
        with pytest.raises(ConnectError, match=r"bears another name.*server_name"):
            await AsyncGrpcClient("client", "localhost", server.port, tls=tls).connect(5)
        with pytest.raises(ConnectError, match="bears another name"):
            await LinkClient("link", f"grpcs://localhost:{server.port}", tls=tls).connect(5)


def test_tls_is_a_grpctls() -> None:
    for wrong in (True, "ca.pem"):
        with pytest.raises(TypeError, match="tls must be a GrpcTls"):
            GrpcClient("client", tls=wrong)
        with pytest.raises(TypeError, match="tls must be a GrpcTls"):
            LinkClient("client", "grpcs://localhost:1", tls=wrong)
