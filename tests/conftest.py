"""What holds for all tests: a cache of compiled programs that only this run sees, and examples that are the same each run.

``pytest --hypothesis-profile=explore`` looks for new counterexamples, ten times as long.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import gpu_table
import pytest
from hypothesis import HealthCheck, settings

# Machines that tests share have no say in which tests pass: nothing is timed.
settings.register_profile(
    "same", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("same"), derandomize=False, max_examples=1000)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """Spare the collection of garbage the thousands of tests that are there to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep programs in a temporary folder, and let no variable of the user's shell reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGMAGRAPH_CACHE", str(tmp_path_factory.mktemp("programs")))
        for name in ("SIGMAGRAPH_DUMP", "SIGMAGRAPH_THREADS"):
            patch.delenv(name, raising=False)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was found on a GPU."""
    reports = [
        report
        for kind in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(kind, ())
        if isinstance(report, pytest.TestReport)
    ]
    found = gpu_table.lines((r.outcome, r.user_properties) for r in reports if r.when == "call" or r.failed)
    if found:
        terminalreporter.section("on the GPU")
        terminalreporter.write_line("\n".join(found))
