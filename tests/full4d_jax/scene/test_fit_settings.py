"""Settings that would do nothing, and fits that memory cannot hold, are refused before the work."""

from dataclasses import replace

import pytest

from full4d_jax.config import LiftConfig
from full4d_jax.scene import fit_settings
from full4d_jax.session.errors import InputError


def test_a_fit_beyond_memory_is_refused_before_it_begins(monkeypatch):
    monkeypatch.setattr(fit_settings, "available_memory", lambda: 2.0**30)
    settings = LiftConfig(capacity=1000)
    fit_settings.check_fit_memory(settings, (3, 2, 32, 32, 3))
    with pytest.raises(InputError, match=r"lift.capacity: found 1000000000 Gaussians, which take"):
        fit_settings.check_fit_memory(replace(settings, capacity=10**9), (3, 2, 32, 32, 3))


def test_settings_without_effect_are_refused():
    gradient = LiftConfig(distillation="gradient")
    with pytest.raises(InputError, match=r"lift\.distillation: found gradient, expected another"):
        fit_settings.check_lift(gradient, None, fit_settings.FitKind.CAPTURED)
    fit_settings.check_lift(gradient, None, fit_settings.FitKind.AROUND_SOURCE)
    fit_settings.check_lift(LiftConfig(distillation="none"), None, fit_settings.FitKind.CAPTURED)
