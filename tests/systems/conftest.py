"""What the tests of source systems share."""

import pytest

from tests.support.clean import Cases, recorded


@pytest.fixture(scope="module")
def cases(request, engine) -> Cases:
    return recorded(Cases(engine.session()), request.session.items, request.module)


@pytest.fixture
def clean(cases):
    """Rows of a table through its silver function and its rules."""
    return cases.clean
