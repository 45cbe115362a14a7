"""What a build with AWS-LC's FIPS module refuses, and any other build does. The suite runs on both."""

import subprocess

import pytest

from clients import client, refusal
from server import binary, is_fips_build

pytestmark = pytest.mark.process
REFUSED = "This server computes with a FIPS module, which does not have keys of this spec."


def test_specs_beyond_the_module(new_server):
    """In a region where there is SM2 too."""
    target = new_server(regions=("cn-north-1",)).init().start()
    kms = client(target, "cn-north-1")
    wrapping = kms.create_key()["KeyMetadata"]["KeyId"]
    for spec in ("ECC_SECG_P256K1", "SM2"):
        calls = [
            (kms.create_key, {"KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}),
            (kms.generate_data_key_pair, {"KeyId": wrapping, "KeyPairSpec": spec}),
        ]
        for call, parameters in calls:
            if is_fips_build():
                error = refusal(call, **parameters)
                assert (error.code, error.message) == ("UnsupportedOperationException", REFUSED)
            else:
                call(**parameters)
    kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")


def test_root_key_with_a_passphrase(tmp_path, account):
    (tmp_path / "passphrase").write_text("correct horse\n")
    places = ["--data", tmp_path / "data", "--root-dir", tmp_path / "root", "--account", account]
    command = [binary(), "init", *places, "--region", "us-east-1", "--passphrase-file", tmp_path / "passphrase"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if is_fips_build():
        assert made.returncode == 1 and "Argon2id is no part of the FIPS module" in made.stderr
        assert not (tmp_path / "root" / "root.key").exists()
    else:
        assert made.returncode == 0, made.stderr
