"""One service for all tests of this package. Each test must restore what it changes."""

import pytest

from tests.testing.serving import Service


@pytest.fixture(scope="package")
def service(cluster, collection, tmp_path_factory):
    """Run a service with two untrained students. Package scope stops it before other packages start services."""
    service = Service(tmp_path_factory.mktemp("service"), cluster, collection)
    yield service
    service.close()
