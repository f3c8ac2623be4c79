"""Mutants of published programs: nothing crashes the host, and both tiers of the jail say the same."""

from __future__ import annotations

import sys

import pytest

from fuzz import run
from programs import needed

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's")
SECONDS_A_CHUNK = 60
"""Far beyond what the limits allow 500 programs of which few are endless."""


@pytest.mark.thorough
def test_five_thousand_mutants_crash_nothing_and_mean_the_same_on_both_tiers() -> None:
    statuses, disagreements, longest = run(needed(), 5000, seed=1)
    assert disagreements == []
    assert sum(statuses.values()) == 5000
    assert statuses["ok"] > 1000
    assert statuses["error"] > 500
    assert longest < SECONDS_A_CHUNK
