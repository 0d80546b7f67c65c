"""Typed clients of one user, and small helpers."""

import base64

import grpc
import pytest


class Clients:
    def __init__(self, channel, authorization):
        from stagegate.v1 import access_pb2_grpc, artifacts_pb2_grpc, ledger_pb2_grpc, registry_pb2_grpc, tracking_pb2_grpc

        self.metadata = [("authorization", authorization)]
        self.stubs = [
            tracking_pb2_grpc.TrackingServiceStub(channel),
            registry_pb2_grpc.RegistryServiceStub(channel),
            artifacts_pb2_grpc.ArtifactServiceStub(channel),
            access_pb2_grpc.AccessServiceStub(channel),
            ledger_pb2_grpc.LedgerServiceStub(channel),
        ]

    def __getattr__(self, name):
        """`clients.GetRun(request)` calls the operation of that name."""
        for stub in self.stubs:
            if hasattr(stub, name):
                operation = getattr(stub, name)
                return lambda request, **options: operation(request, metadata=self.metadata, timeout=60, **options)
        raise AttributeError(name)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def admin(server):
    from conftest import ADMIN_PASSWORD

    return sign_in(server, "admin", ADMIN_PASSWORD)


def sign_in(server, user, password):
    from stagegate.v1 import access_messages_pb2 as access

    token = Clients(server.channel, "").SignIn(access.SignInRequest(user_name=user, password=password)).token
    return Clients(server.channel, "Bearer " + token)


def make(server, name, persona):
    """A new user with a persona on the whole server, signed in."""
    from stagegate.v1 import access_messages_pb2 as access

    first, password = "the first password of " + name, "the long password of " + name
    admin(server).CreateUser(access.CreateUserRequest(user_name=name, password=first, persona=persona))
    # What the admin set can only be changed.
    sign_in(server, name, first).SetPassword(access.SetPasswordRequest(current_password=first, new_password=password))
    return sign_in(server, name, password)


def verdict(auditor):
    """The last message of a verification of the ledger."""
    from stagegate.v1 import ledger_messages_pb2 as ledger

    *_, last = auditor.VerifyLedger(ledger.VerifyLedgerRequest())
    assert last.done
    return last


def refused(code, call, *arguments):
    """The call fails with this code; gives its message."""
    with pytest.raises(grpc.RpcError) as failure:
        answer = call(*arguments)
        if hasattr(answer, "__iter__"):
            list(answer)
    assert failure.value.code().name == code, failure.value.details()
    assert dict(failure.value.trailing_metadata() or {}).get("x-request-id") or dict(failure.value.initial_metadata() or {})
    return failure.value.details()
