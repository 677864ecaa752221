"""Environment for tests, set before torch, Ray or the hub client is imported: no network, no spinning threads.

And one sandbox process for the tests of other rooms than the sandbox.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TREESTAR_POLICY"] = "toy"  # the default needs a model that has to be fetched
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray's setting for a cluster on 127.0.0.1
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # otherwise Ray leaves one in the home folder
# So that programs started by tests can import `support` too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))

from support.shared_sandbox import SharedSandbox  # noqa: E402  # it imports treestar

from treestar.sandbox import executor  # noqa: E402

# Every run draws the same examples: what passes here passes elsewhere. `make test-properties` draws others.
TIMELESS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", TIMELESS, derandomize=True)
settings.register_profile("explore", TIMELESS, max_examples=1000, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[SharedSandbox]:
    made = SharedSandbox()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _sandbox(request: pytest.FixtureRequest, shared_sandbox: SharedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executors made in a test use one sandbox process, except in the sandbox's own tests."""
    if request.path.parent != TESTS / "sandbox":
        monkeypatch.setattr(executor, "Connection", shared_sandbox.lease)
