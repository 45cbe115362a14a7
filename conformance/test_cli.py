"""The real AWS CLI against the service."""

import base64
import json

import pytest

from clients import UUID, marked


def ok(done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


def text(done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_refusal_names_the_error_and_the_operation(aws):
    done = aws("kms", "describe-key", "--key-id", "nonsense")
    assert done.returncode != 0
    assert done.stdout == ""
    expected = "An error occurred (NotFoundException) when calling the DescribeKey operation: Invalid keyId 'nonsense'"
    assert expected in done.stderr


def test_wrong_secret_is_refused(aws):
    wrong = aws.home / "wrong-credentials"
    wrong.write_text("[default]\naws_access_key_id = AKIAUNKNOWNUNKNOWN12\naws_secret_access_key = wrong\n")
    done = aws("kms", "list-keys", AWS_SHARED_CREDENTIALS_FILE=str(wrong))
    assert done.returncode != 0
    assert "UnrecognizedClientException" in done.stderr


def test_operation_that_is_not_built_says_so(aws, key):
    done = aws("kms", "get-key-rotation-status", "--key-id", key.id)
    assert done.returncode != 0
    assert "UnsupportedOperationException" in done.stderr and "not built yet" in done.stderr


def test_key_from_creation_to_a_disabled_refusal(aws, alias_name):
    made = ok(aws("kms", "create-key", "--description", "made by the AWS CLI"))["KeyMetadata"]
    id = made["KeyId"]
    assert UUID.fullmatch(id) and made["KeyState"] == "Enabled"
    assert text(aws("kms", "create-alias", "--alias-name", alias_name, "--target-key-id", id)) == ""
    described = ok(aws("kms", "describe-key", "--key-id", alias_name))["KeyMetadata"]
    assert described == made
    assert text(aws("kms", "disable-key", "--key-id", id)) == ""
    refused = aws("kms", "encrypt", "--key-id", id, "--plaintext", "eA==")
    assert refused.returncode != 0 and f"{made['Arn']} is disabled." in refused.stderr
    assert text(aws("kms", "enable-key", "--key-id", id)) == ""
    state = aws("kms", "describe-key", "--key-id", id, "--query", "KeyMetadata.KeyState", "--output", "text")
    assert text(state) == "Enabled"
    assert text(aws("kms", "delete-alias", "--alias-name", alias_name)) == ""
    assert "NotFoundException" in aws("kms", "describe-key", "--key-id", alias_name).stderr


def test_file_goes_through_encrypt_and_decrypt(aws, server, key, alias):
    plaintext = marked(200)
    server.secrets.append(plaintext)
    source, sealed = aws.home / "plain.bin", aws.home / "sealed.bin"
    source.write_bytes(plaintext)
    context = ("--encryption-context", "Department=IT,Purpose=Test")
    encrypt = aws(
        *("kms", "encrypt", "--key-id", alias, "--plaintext", f"fileb://{source}", *context),
        *("--query", "CiphertextBlob", "--output", "text"),
    )
    sealed.write_bytes(base64.b64decode(text(encrypt)))
    assert plaintext not in sealed.read_bytes()
    decrypt = ("kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", "--query", "Plaintext", "--output", "text")
    wrong = aws(*decrypt, "--encryption-context", "Department=HR,Purpose=Test")
    assert wrong.returncode != 0 and "InvalidCiphertextException" in wrong.stderr
    assert base64.b64decode(text(aws(*decrypt, *context, "--key-id", key.arn))) == plaintext


def test_re_encrypt(aws, kms, key, second_key):
    sealed = aws.home / "re-encrypt.bin"
    sealed.write_bytes(kms.encrypt(KeyId=key.id, Plaintext=b"moved")["CiphertextBlob"])
    moved = ok(
        aws("kms", "re-encrypt", "--ciphertext-blob", f"fileb://{sealed}", "--destination-key-id", second_key.id)
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key.arn, second_key.arn)
    assert kms.decrypt(CiphertextBlob=base64.b64decode(moved["CiphertextBlob"]))["Plaintext"] == b"moved"


def test_data_keys(aws, kms, server, key):
    made = ok(aws("kms", "generate-data-key", "--key-id", key.id, "--key-spec", "AES_256"))
    plain = base64.b64decode(made["Plaintext"])
    server.secrets.append(plain)
    assert len(plain) == 32 and made["KeyMaterialId"] == key.material
    assert kms.decrypt(CiphertextBlob=base64.b64decode(made["CiphertextBlob"]))["Plaintext"] == plain
    wrapped = ok(aws("kms", "generate-data-key-without-plaintext", "--key-id", key.id, "--number-of-bytes", "24"))
    assert "Plaintext" not in wrapped
    assert len(kms.decrypt(CiphertextBlob=base64.b64decode(wrapped["CiphertextBlob"]))["Plaintext"]) == 24


def test_generate_random(aws):
    drawn = text(aws("kms", "generate-random", "--number-of-bytes", "32", "--query", "Plaintext", "--output", "text"))
    assert len(base64.b64decode(drawn)) == 32


def test_list_keys_pages_by_itself(aws, key, second_key, disabled_key):
    few = ok(aws("kms", "list-keys", "--max-items", "2"))
    assert len(few["Keys"]) == 2 and few["NextToken"]
    query = ("--query", "Keys[].KeyId", "--output", "json")
    by_two = ok(aws("kms", "list-keys", "--page-size", "50", *query))
    assert len(set(by_two)) == len(by_two)
    assert {key.id, second_key.id, disabled_key.id} <= set(by_two)


def test_list_aliases(aws, key, alias):
    listed = ok(aws("kms", "list-aliases", "--key-id", key.id))["Aliases"]
    assert alias in [entry["AliasName"] for entry in listed]


def test_policy_goes_in_by_file_and_comes_out_as_text(aws, fresh_key, root_arn):
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "by-cli", "Effect": "Allow", "Principal": {"AWS": root_arn}, "Action": "kms:*", "Resource": "*"}
        ],
    }
    file = aws.home / "policy.json"
    file.write_text(json.dumps(document))
    named = ("--key-id", fresh_key.id, "--policy-name", "default")
    bad = aws("kms", "put-key-policy", *named, "--policy", "{}")
    assert bad.returncode != 0 and "MalformedPolicyDocumentException" in bad.stderr
    assert text(aws("kms", "put-key-policy", *named, "--policy", f"file://{file}")) == ""
    got = aws("kms", "get-key-policy", *named, "--query", "Policy", "--output", "text")
    assert text(got) == file.read_text()


def test_grant_from_creation_to_its_end(aws, fresh_key, root_arn):
    named = ("--key-id", fresh_key.id)
    bad = aws("kms", "create-grant", *named, "--grantee-principal", "nobody", "--operations", "Encrypt")
    assert bad.returncode != 0 and "InvalidArnException" in bad.stderr
    made = ok(
        aws(
            *("kms", "create-grant", *named, "--grantee-principal", root_arn, "--retiring-principal", root_arn),
            *("--operations", "Encrypt", "Decrypt", "--name", "by-cli"),
            *("--constraints", "EncryptionContextSubset={app=a}"),
        )
    )
    listed = ok(aws("kms", "list-grants", *named))["Grants"]
    assert [entry["GrantId"] for entry in listed] == [made["GrantId"]]
    assert listed[0]["Constraints"] == {"EncryptionContextSubset": {"app": "a"}} and listed[0]["Name"] == "by-cli"
    retirable = ok(aws("kms", "list-retirable-grants", "--retiring-principal", root_arn))["Grants"]
    assert made["GrantId"] in [entry["GrantId"] for entry in retirable]
    token = ("--grant-tokens", made["GrantToken"])
    assert ok(aws("kms", "describe-key", *named, *token))["KeyMetadata"]["KeyId"] == fresh_key.id
    assert text(aws("kms", "retire-grant", "--grant-token", made["GrantToken"])) == ""
    ended = aws("kms", "describe-key", *named, *token)
    assert ended.returncode != 0 and "InvalidGrantTokenException" in ended.stderr
    revoked = aws("kms", "revoke-grant", *named, "--grant-id", made["GrantId"])
    assert revoked.returncode != 0 and "NotFoundException" in revoked.stderr


def test_other_region(aws, server, other_region, account):
    environment = {"AWS_ENDPOINT_URL_KMS": server.endpoint(other_region)}
    made = ok(aws("kms", "create-key", "--region", other_region, **environment))["KeyMetadata"]
    assert made["Arn"].startswith(f"arn:aws:kms:{other_region}:{account}:key/")


@pytest.mark.process
def test_credentials_file_of_init_serves_both_profiles(aws):
    assert "Keys" in ok(aws("kms", "list-keys", "--profile", "default", "--max-items", "1"))
    operator = aws("kms", "list-keys", "--profile", "operator")
    assert operator.returncode != 0 and "AccessDeniedException" in operator.stderr
