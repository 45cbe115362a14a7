"""Fixtures: the server under test, clients for its two regions, keys to work with.

The suite starts its own server, unless CONFORMANCE_ENDPOINT names one (see README.md).
"""

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients import RawClient, client
from server import Elsewhere, Server, binary, clean_environment, is_fips_build

ACCOUNT = "111122223333"
REGION, OTHER_REGION = "us-east-1", "eu-central-1"

# No configuration of the machine may reach the clients.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_CONFIG_FILE"] = "/dev/null"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def pytest_addoption(parser):
    parser.addoption("--crash-rounds", type=int, default=5, help="how often test_crash kills the server")
    parser.addoption("--power-rounds", type=int, default=1, help="how many loads test_power cuts")
    parser.addoption("--power-cuts", type=int, default=12, help="at how many moments it cuts each")
    parser.addoption("--power-seed", type=int, default=None, help="repeats a run of test_power as far as it can be")


#: What stands on a passphrase or on SM2.
BEYOND_FIPS_FIXTURES = {"china", "guarded", "sealed"}


def is_beyond_fips(item) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return (
        item.get_closest_marker("beyond_fips") is not None
        or not BEYOND_FIPS_FIXTURES.isdisjoint(item.fixturenames)
        or (item.module.__name__ == "test_key_specs" and "ECC_SECG_P256K1" in parameters)
    )


def pytest_collection_modifyitems(config, items):
    if is_fips_build():
        refused = [item for item in items if is_beyond_fips(item)]
        config.hook.pytest_deselected(items=refused)
        items[:] = [item for item in items if item not in refused]
    """The silence tests search what all others have left behind, so they come last."""
    items.sort(key=lambda item: item.path.name.endswith("silence.py"))
    if "CONFORMANCE_ENDPOINT" in os.environ:
        needs = [item for item in items if item.get_closest_marker("process")]
        config.hook.pytest_deselected(items=needs)
        items[:] = [item for item in items if item not in needs]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The service under test, shared by all tests that do not stop it."""
    if "CONFORMANCE_ENDPOINT" in os.environ:
        target = Elsewhere()
    else:
        if not Path(binary()).is_file():
            pytest.exit(f"no binary at {binary()}: build it, or set STRONGROOM_BINARY", returncode=2)
        target = Server(tmp_path_factory.mktemp("shared"), ACCOUNT, [REGION, OTHER_REGION])
        target.init().start()
    yield target
    target.close()


@pytest.fixture(scope="module")
def new_server(request, tmp_path_factory):
    """Makes servers that a module may stop, kill or fill as it likes; not yet initialised.

    They are gone when the module ends, unless a test has failed: then what it left can be looked at.
    """
    made = []

    def make(regions=(REGION,), account=ACCOUNT) -> Server:
        made.append(Server(tmp_path_factory.mktemp("own"), account, list(regions)))
        return made[-1]

    yield make
    for target in made:
        target.close() if request.session.testsfailed else target.discard()


@pytest.fixture(scope="session")
def account(server) -> str:
    return server.account


@pytest.fixture(scope="session")
def region(server) -> str:
    return server.regions[0]


@pytest.fixture(scope="session")
def other_region(server) -> str:
    return server.regions[1]


@pytest.fixture(scope="session")
def kms(server, region):
    return client(server, region)


@pytest.fixture(scope="session")
def kms_elsewhere(server, other_region):
    """The same account in the deployment's other region."""
    return client(server, other_region)


@pytest.fixture(scope="session")
def loose(server, region):
    """A client that checks nothing itself, so that the service must."""
    return client(server, region, validate=False)


@pytest.fixture(scope="session")
def raw(server, region) -> RawClient:
    return RawClient(server, region)


@dataclass(frozen=True)
class Key:
    id: str
    arn: str
    material: str
    metadata: dict


def make_key(kms, **parameters) -> Key:
    metadata = kms.create_key(**parameters)["KeyMetadata"]
    return Key(metadata["KeyId"], metadata["Arn"], metadata["CurrentKeyMaterialId"], metadata)


@pytest.fixture(scope="session")
def key(kms) -> Key:
    """An enabled key that no test changes."""
    return make_key(kms, Description="shared by the conformance suite")


@pytest.fixture(scope="session")
def second_key(kms) -> Key:
    """Another enabled key that no test changes."""
    return make_key(kms, Description="second key shared by the conformance suite")


@pytest.fixture(scope="session")
def disabled_key(kms) -> Key:
    """A key that stays disabled, and had encrypted something before."""
    made = make_key(kms)
    kms.disable_key(KeyId=made.id)
    return made


@pytest.fixture
def fresh_key(kms) -> Key:
    """A key that the test may change."""
    return make_key(kms)


@pytest.fixture
def alias_name() -> str:
    return f"alias/conformance/{uuid.uuid4()}"


@pytest.fixture(scope="session")
def alias(kms, key) -> str:
    """An alias of the shared key."""
    name = f"alias/conformance/shared-{uuid.uuid4()}"
    kms.create_alias(AliasName=name, TargetKeyId=key.id)
    yield name
    kms.delete_alias(AliasName=name)


@pytest.fixture(scope="session")
def root_arn(account) -> str:
    return f"arn:aws:iam::{account}:root"


@pytest.fixture(scope="session")
def aws(server, region, tmp_path_factory):
    """Runs the real AWS CLI: `aws("kms", "list-keys")`."""
    home = tmp_path_factory.mktemp("cli")
    credentials = home / "credentials"
    login = server.login()
    token = f"aws_session_token = {login.token}\n" if login.token else ""
    credentials.write_text(
        f"[default]\naws_access_key_id = {login.access_key}\naws_secret_access_key = {login.secret_key}\n{token}"
    )
    script = Path(sys.executable).parent / "aws"

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        settings = {
            "AWS_ENDPOINT_URL_KMS": server.endpoint(region),
            "AWS_SHARED_CREDENTIALS_FILE": str(getattr(server, "credentials_path", credentials)),
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }
        return subprocess.run(
            [str(script), *arguments],
            env=clean_environment() | settings | environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    call.home = home
    return call
