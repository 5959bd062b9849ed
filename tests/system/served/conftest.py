"""One service for all that ask it and leave it as it was; the package has a folder of its own so that it ends with them."""

import pytest

from tests.testing.serving import Service


@pytest.fixture(scope="package")
def service(cluster, collection, tmp_path_factory):
    """A service of two made students."""
    held = Service(tmp_path_factory.mktemp("service"), cluster, collection)
    yield held
    held.close()
