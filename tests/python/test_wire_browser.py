"""What a browser can be made to send by a stranger's page, and what plain answers tell it."""

import json
import subprocess

import grpc
import pytest
from clients import Clients, admin, basic
from conftest import ADMIN_PASSWORD, BINARY, Server
from hpack import Decoder
from raw import END_HEADERS, END_STREAM, HEADERS, Http2, block, frame, http1

FOREIGN = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "0x7f.1", "8.8.8.8", "[::ffff:8.8.8.8]"]
PROTECTION = {"x-content-type-options": "nosniff", "x-frame-options": "deny"}


@pytest.fixture(scope="module")
def authorization(one_server):
    return admin(one_server).metadata[0][1]


def error(answer):
    status, headers, body = answer
    assert headers["content-type"] == "application/json"
    assert PROTECTION.items() <= headers.items() and "frame-ancestors 'none'" in headers["content-security-policy"]
    told = json.loads(body)
    assert set(told) == {"error_code", "message"} and told["message"]
    return status, told["error_code"]


@pytest.mark.parametrize("host", FOREIGN)
def test_requests_to_foreign_hosts_are_refused(one_server, authorization, host):
    for path in ["/health", "/version", "/api/2.0/mlflow/experiments/search", "/nowhere"]:
        for method in ["GET", "POST", "OPTIONS"]:
            assert error(http1(one_server, method, path, host=host, authorization=authorization)) == (403, "PERMISSION_DENIED")
    with Http2(one_server) as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(one_server, "/health", authority=host)))
        assert dict(Decoder().decode(client.until(HEADERS)[3]))[":status"] == "403"


def test_grpc_to_a_foreign_host_is_refused(one_server, authorization):
    from stagegate.v1 import access_messages_pb2 as access

    with grpc.insecure_channel(one_server.address, options=[("grpc.default_authority", "evil.example")]) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            Clients(channel, authorization).WhoAmI(access.WhoAmIRequest())
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED and "--allowed-hosts" in refused.value.details()


def test_two_names_for_the_host(one_server):
    assert error(http1(one_server, "GET", "http://evil.example/health"))[0] == 403
    assert error(http1(one_server, "GET", "http://localhost/health", host="evil.example"))[0] == 403
    assert http1(one_server, "GET", "/health", host="localhost\r\nhost: evil.example")[0] == 400
    assert http1(one_server, "GET", "/health", x_forwarded_host="evil.example", forwarded="host=evil.example")[0] == 200


def test_the_allowed_hosts_can_be_listed(tmp_path):
    server = Server(tmp_path, "sqlite", options=["--allowed-hosts", "track.example.com,*.corp.example"])
    try:
        for host, status in {"track.example.com": 200, "a.corp.example:8080": 200, "corp.example": 403, "evil.example": 403, "localhost": 200}.items():
            assert http1(server, "GET", "/health", host=host)[0] == status, host
        inside = {"host": "track.example.com", "origin": "https://track.example.com"}
        assert http1(server, "POST", "/nowhere", **inside)[0] == 401, "our own page may ask"
        assert http1(server, "POST", "/nowhere", host="localhost", origin="https://track.example.com")[0] == 401
        assert http1(server, "POST", "/nowhere", host="track.example.com", origin="https://track.example.com.evil.example")[0] == 403
    finally:
        server.stop()


def test_a_host_that_is_none_stops_the_start(tmp_path):
    # What may be part of a URL with a password is not shown.
    for host, named in [("https://track.example.com", "an entry"), ("track.example.com:port", "`track.example.com:port`")]:
        command = [BINARY, "serve", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data", "--allowed-hosts", host]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and f"--allowed-hosts: {named} is no host" in done.stderr, done.stderr


@pytest.mark.parametrize("origin", [
    "null", "https://evil.example", "http://localhost", "http://127.0.0.1", "http://{address}.evil.example", "http://{address}@evil.example",
    "http://evil.example/{address}", "http://{address}0", "file://{address}", "{address}", "",
])
def test_pages_of_other_origins_change_nothing(one_server, authorization, origin):
    origin = origin.format(address=one_server.address)
    for method in ["POST", "PUT", "PATCH", "DELETE"]:
        for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"]:
            answer = http1(one_server, method, "/api/2.0/mlflow/experiments/create", b'{"name": "foreign"}', origin=origin, authorization=authorization,
                           content_type=kind)
            assert error(answer) == (403, "PERMISSION_DENIED")
    assert http1(one_server, "POST", "/nowhere", origin="http://" + one_server.address)[0] == 401


def test_pages_of_other_origins_cannot_call_grpc(one_server, authorization):
    from stagegate.v1 import experiment_pb2

    signed = Clients(one_server.channel, authorization)
    signed.metadata.append(("origin", "https://evil.example"))
    with pytest.raises(grpc.RpcError) as refused:
        signed.CreateExperiment(experiment_pb2.CreateExperimentRequest(name="foreign"))
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert not [found for found in admin(one_server).SearchExperiments(experiment_pb2.SearchExperimentsRequest()).experiments if found.name == "foreign"]


def test_no_answer_opens_itself_to_other_origins(one_server, authorization):
    asked = {"origin": "https://evil.example", "access_control_request_method": "POST", "access_control_request_headers": "authorization"}
    for method in ["OPTIONS", "GET", "HEAD"]:
        for path in ["/health", "/version", "/.well-known/jwks.json", "/api/2.0/mlflow/experiments/search", "/nowhere"]:
            _, headers, _ = http1(one_server, method, path, authorization=authorization, **asked)
            assert not [name for name in headers if name.startswith("access-control")]
            assert PROTECTION.items() <= headers.items()


def test_unknown_paths(one_server, authorization):
    """Who is not signed in does not learn what is there."""
    for path in ["/nowhere", "/api/2.0/nowhere", "/ajax-api/2.0/nowhere", "/api/2.0/mlflow/nowhere", "/api", "/", "/stagegate.v1.NoService/Nothing"]:
        for method in ["GET", "POST", "DELETE"]:
            assert error(http1(one_server, method, path)) == (401, "UNAUTHENTICATED")
            assert error(http1(one_server, method, path, authorization="Bearer x")) == (401, "UNAUTHENTICATED")
            assert error(http1(one_server, method, path, authorization=authorization)) == (404, "ENDPOINT_NOT_FOUND")
            assert error(http1(one_server, method, path, authorization=basic("admin", ADMIN_PASSWORD))) == (404, "ENDPOINT_NOT_FOUND")
    call = one_server.channel.unary_unary("/stagegate.v1.NoService/Nothing")
    for metadata, code in [([], grpc.StatusCode.UNAUTHENTICATED), ([("authorization", authorization)], grpc.StatusCode.UNIMPLEMENTED)]:
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", metadata=metadata)
        assert refused.value.code() == code


def test_unknown_methods_and_overrides(one_server, authorization):
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"]:
        assert error(http1(one_server, method, "/health")) == (401, "UNAUTHENTICATED")
        for header in ["x_http_method_override", "x_method_override", "x_http_method"]:
            answer = http1(one_server, method, "/health", authorization=authorization, **{header: "GET"})
            assert error(answer) == (405, "BAD_REQUEST")
            assert "get" in answer[1]["allow"]


def test_a_browser_on_our_own_page_may_change_things(one_server, authorization):
    asked = {"origin": "http://" + one_server.address, "authorization": authorization, "content_type": "application/json"}
    for path in ["/api/2.0/mlflow/experiments/create", "/ajax-api/2.0/mlflow/experiments/create"]:
        status, headers, body = http1(one_server, "POST", path, json.dumps({"name": "own " + path}).encode(), **asked)
        assert status == 200 and json.loads(body)["experiment_id"]
        assert PROTECTION.items() <= headers.items()


def test_the_method_of_an_operation_is_the_one_that_was_sent(one_server, authorization):
    for method, path in [("GET", "experiments/create"), ("PUT", "experiments/create"), ("POST", "experiments/get")]:
        for header in ["x_http_method_override", "x_method_override", "x_http_method"]:
            asked = {header: "POST" if method != "POST" else "GET", "content_type": "application/json"}
            path_of = "/api/2.0/mlflow/" + path
            assert error(http1(one_server, method, path_of, b'{"name": "override"}', authorization=authorization, **asked)) == (405, "BAD_REQUEST")
            assert error(http1(one_server, method, path_of, b'{"name": "override"}', **asked)) == (401, "UNAUTHENTICATED")


def test_two_credentials_are_none(one_server, authorization):
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert http1(one_server, "GET", path, authorization=authorization)[0] == 200
    for second in [authorization, "Bearer x", basic("admin", ADMIN_PASSWORD)]:
        twice = f"{authorization}\r\nauthorization: {second}"
        assert error(http1(one_server, "GET", path, authorization=twice)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", [
    "/api/2.0/mlflow//experiments/get", "/api/2.0/mlflow/experiments%2fget", "/API/2.0/mlflow/experiments/get", "/api//2.0/mlflow/experiments/get",
    "/api/2.0/mlflow/experiments/get/", "/api/2.0/mlflow/experiments/get;x", "/api/2.0/mlflow/./experiments/get", "/api/2%2e0/mlflow/experiments/get",
    "/api/2.0/mlflow/x/../experiments/get", "/x/..%2fapi/2.0/mlflow/experiments/get", "/ajax-api/../api/2.0/mlflow/experiments/get",
    "//health", "/Health", "/health/", "/%68ealth", "/health;x", "/health%2f", "/./health", "/x/../health", "/health%00", "/health%20",
    "/%2e/health", "/health%3f", "/.well-known//jwks.json", "/.well-known%2fjwks.json",
])
def test_there_is_one_spelling_of_each_path(one_server, authorization, path):
    path += "?experiment_id=0"
    assert error(http1(one_server, "GET", path)) == (401, "UNAUTHENTICATED")
    assert error(http1(one_server, "GET", path, authorization=authorization)) == (404, "ENDPOINT_NOT_FOUND")


def test_coded_bodies_are_refused(one_server, authorization):
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip"]:
        answer = http1(one_server, "POST", "/nowhere", b"x", authorization=authorization, content_encoding=coding)
        assert error(answer) == (400, "INVALID_PARAMETER_VALUE")


def test_public_paths_hold_no_secret(one_server):
    answers = {path: http1(one_server, "GET", path) for path in ["/health", "/version", "/.well-known/jwks.json"]}
    for status, headers, _ in answers.values():
        assert status == 200 and PROTECTION.items() <= headers.items()
    assert answers["/health"][2] == b"OK"
    assert answers["/version"][2].count(b".") == 2
    for key in json.loads(answers["/.well-known/jwks.json"][2])["keys"]:
        assert not {"d", "k", "p", "q"} & set(key)
