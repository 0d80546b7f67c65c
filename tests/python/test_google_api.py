"""Our google/api files are the public ones, so that both can live in one Python process."""

import pathlib

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
import grpc_tools
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
WELL_KNOWN = pathlib.Path(grpc_tools.__file__).parent / "_proto"


def test_files_are_equal_and_do_not_clash(tmp_path):
    files = {"google/api/annotations.proto": annotations_pb2, "google/api/http.proto": http_pb2}
    out = tmp_path / "set.bin"
    assert protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{WELL_KNOWN}", f"--descriptor_set_out={out}", *files]) == 0
    ours = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    assert {file.name for file in ours.file} == set(files)
    for file in ours.file:
        public = descriptor_pb2.FileDescriptorProto()
        files[file.name].DESCRIPTOR.CopyToProto(public)
        # Compilers may or may not spell out the JSON names that follow from the fields' names.
        for message in [*file.message_type, *public.message_type]:
            for field in message.field:
                field.ClearField("json_name")
        for extension in [*file.extension, *public.extension]:
            extension.ClearField("json_name")
        assert file == public, file.name


def test_generated_clients_import_beside_them():
    from stagegate.v1 import access_pb2, artifacts_pb2, ledger_pb2, registry_pb2, tracking_pb2

    for module in (access_pb2, artifacts_pb2, ledger_pb2, registry_pb2, tracking_pb2):
        assert module.DESCRIPTOR.services_by_name
