"""A fit that memory cannot hold is refused before the work."""

from dataclasses import replace

import pytest

from full4d_jax.config import LiftConfig
from full4d_jax.scene import cost
from full4d_jax.session.errors import InputError


def test_a_fit_beyond_memory_is_refused_before_it_begins(monkeypatch):
    monkeypatch.setattr(cost, "available_memory", lambda: 2.0**30)
    settings = LiftConfig(capacity=1000)
    cost.check_fit_memory(settings, (3, 2, 32, 32, 3))
    with pytest.raises(InputError, match=r"lift.capacity: found 1000000000 Gaussians, which take"):
        cost.check_fit_memory(replace(settings, capacity=10**9), (3, 2, 32, 32, 3))
