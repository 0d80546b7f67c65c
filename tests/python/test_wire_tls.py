"""TLS: who speaks it gets HTTP/2 or HTTP/1.1 as asked, who does not gets nothing and holds nothing up."""

import concurrent.futures
import datetime
import ipaddress
import socket
import ssl
import time

import grpc
import pytest
from clients import Clients
from conftest import ADMIN_PASSWORD, Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from raw import connect, exchange


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server with a certificate of its own making; `certificate` is its file."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))
    server = Server(folder, "sqlite", options=["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")])
    server.certificate = folder / "cert.pem"
    yield server
    server.stop()


def handshake(server, protocols, **limits):
    context = ssl.create_default_context(cafile=server.certificate)
    context.set_alpn_protocols(protocols)
    for name, value in limits.items():
        setattr(context, name, value)
    return context.wrap_socket(connect(server), server_hostname="127.0.0.1")


@pytest.mark.parametrize("offered, chosen", [
    (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["h2"], "h2"), ([], None),
])
def test_the_protocol_is_agreed_on(tls, offered, chosen):
    with handshake(tls, offered) as connection:
        assert connection.selected_alpn_protocol() == chosen
        assert connection.version() == "TLSv1.3"
        if chosen != "h2":
            connection.sendall(f"GET /health HTTP/1.1\r\nhost: {tls.address}\r\nconnection: close\r\n\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_protocols_that_are_not_spoken(tls):
    with pytest.raises(ssl.SSLError):
        handshake(tls, ["spdy/3"])
    with handshake(tls, ["h2"], maximum_version=ssl.TLSVersion.TLSv1_2) as connection:
        assert connection.version() == "TLSv1.2"


def test_grpc_over_tls(tls):
    from stagegate.v1 import access_messages_pb2 as access

    with grpc.secure_channel(tls.address, grpc.ssl_channel_credentials(tls.certificate.read_bytes())) as channel:
        token = Clients(channel, "").SignIn(access.SignInRequest(user_name="admin", password=ADMIN_PASSWORD)).token
        assert Clients(channel, "Bearer " + token).WhoAmI(access.WhoAmIRequest()).user.user_name == "admin"


def test_plain_http_gets_no_answer(tls):
    """Nor is anything of it processed: the connection ends with an alert of TLS."""
    for spoken in [f"GET /health HTTP/1.1\r\nhost: {tls.address}\r\n\r\n".encode(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100]:
        begun = time.monotonic()
        received = exchange(tls, spoken)
        assert b"HTTP" not in received and b"OK" not in received and len(received) < 10
        assert time.monotonic() - begun < 5


def held(server, begin):
    begun = time.monotonic()
    with connect(server, timeout=30) as connection:
        connection.sendall(begin)
        try:
            while connection.recv(65536):
                pass
        except (ConnectionError, socket.timeout):
            pass
    return time.monotonic() - begun


def test_a_handshake_has_ten_seconds(tls):
    """Silent ones, and ones that stop in the middle; others are served meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        running = [pool.submit(held, tls, begin) for begin in [b"", b"\x16\x03\x01\x02\x00\x01"] for _ in range(100)]
        time.sleep(1)
        begun = time.monotonic()
        test_the_protocol_is_agreed_on(tls, ["http/1.1"], "http/1.1")
        assert time.monotonic() - begun < 2
        taken = [future.result() for future in running]
    assert 8 < min(taken) and max(taken) < 15
