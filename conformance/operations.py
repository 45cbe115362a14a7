"""The list of operations, and the least that each takes, from the service models at hand."""

import base64
import json
import re
from pathlib import Path

import botocore.session

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
MODEL = REPOSITORY / "model" / "kms.json"
TABLE_LINE = re.compile(r"^\|\s*`?(?P<name>[A-Z][A-Za-z]+)`?\s*\|\s*(?P<state>works|not yet)\s*\|", re.MULTILINE)

KEY_ID_MEMBERS = {"KeyId", "TargetKeyId", "DestinationKeyId", "SourceKeyId"}
# What a pattern or a rule outside the model asks for.
VALUES = {
    "AliasName": "alias/conformance/minimal",
    "CustomKeyStoreId": "cks-1234567890abcdef0",
    "CustomKeyStoreName": "conformance",
    "GrantId": "0" * 64,
    "GranteePrincipal": "arn:aws:iam::111122223333:root",
    "Policy": "{}",
    "PrimaryRegion": "eu-central-1",
    "ReplicaRegion": "eu-central-1",
    "RetiringPrincipal": "arn:aws:iam::111122223333:root",
}
# Operations of the product's model that the pinned botocore does not know yet.
NEWER_THAN_BOTOCORE = {
    "Decapsulate": {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": "eA=="},
    "Encapsulate": {"EncapsulationAlgorithm": "ML_KEM"},
}


def botocore_model():
    return botocore.session.Session().get_service_model("kms")


def operation_names() -> set[str]:
    """Every operation of botocore's model and of the model that the product was generated from."""
    names = set(botocore_model().operation_names)
    if MODEL.exists():
        operations = json.loads(MODEL.read_text())["operations"]
        if isinstance(operations, dict):
            names |= set(operations)
        else:
            names |= {operation["name"] for operation in operations}
    return names


def readme_table() -> dict[str, str]:
    """Operation name to `works` or `not yet`, as README.md says."""
    found = [match.groups() for match in TABLE_LINE.finditer(README.read_text())]
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), "README.md names an operation twice"
    return dict(found)


def minimal_parameters(operation: str, key_id: str) -> dict:
    """The required members only, each with a valid value, as they go over the wire."""
    model = botocore_model()
    if operation not in model.operation_names:
        return NEWER_THAN_BOTOCORE[operation] | {"KeyId": key_id}
    shape = model.operation_model(operation).input_shape
    return _structure(shape, key_id)


def _structure(shape, key_id: str) -> dict:
    return {name: _value(name, shape.members[name], key_id) for name in shape.required_members}


def _value(name: str, shape, key_id: str):
    if name in KEY_ID_MEMBERS:
        return key_id
    if name in VALUES:
        return VALUES[name]
    if shape.type_name == "structure":
        return _structure(shape, key_id)
    if shape.type_name == "list":
        return [_value("", shape.member, key_id)]
    if shape.type_name == "map":
        return {}
    if shape.type_name == "blob":
        return base64.b64encode(b"x" * max(1, shape.metadata.get("min", 1))).decode()
    if shape.type_name == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    if shape.type_name in ("integer", "long"):
        return max(1, shape.metadata.get("min", 1))
    if shape.type_name == "boolean":
        return False
    raise NotImplementedError(f"{name} is a {shape.type_name}")
