"""What holds for all tests: a cache of compiled programs that only this run sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep programs in a temporary folder, and let no variable of the user's shell reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGMAGRAPH_CACHE", str(tmp_path_factory.mktemp("programs")))
        for name in ("SIGMAGRAPH_DUMP", "SIGMAGRAPH_DEBUG", "SIGMAGRAPH_THREADS"):
            patch.delenv(name, raising=False)
        yield
