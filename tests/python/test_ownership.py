"""Who made a thing may edit it, whatever was asked before it was there."""

from clients import make, refused


def test_a_version_is_its_makers_own_also_after_a_refusal(server):
    from stagegate.v1 import model_version_pb2 as version, registered_model_pb2 as model

    maker, other = make(server, "maker", "data_scientist"), make(server, "other", "data_scientist")
    maker.CreateRegisteredModel(model.CreateRegisteredModelRequest(name="owned"))
    tag = version.SetModelVersionTagRequest(name="owned", version="1", key="k", value="v")
    missing = refused("PERMISSION_DENIED", maker.SetModelVersionTag, tag)
    maker.CreateModelVersion(version.CreateModelVersionRequest(name="owned", source="s3://b/m"))
    maker.SetModelVersionTag(tag)
    assert refused("PERMISSION_DENIED", other.SetModelVersionTag, tag) == missing
