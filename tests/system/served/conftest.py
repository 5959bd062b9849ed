"""One service for all tests of this package. Tests must leave it as they found it."""

import pytest

from tests.testing.serving import Service


@pytest.fixture(scope="package")
def service(cluster, collection, tmp_path_factory):
    """Run a service with two untrained students. Package scope, so it stops before other packages start their own."""
    service = Service(tmp_path_factory.mktemp("service"), cluster, collection)
    yield service
    service.close()
