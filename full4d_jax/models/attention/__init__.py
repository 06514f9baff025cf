"""Fused time-view attention: definition, oracle and one module a backend."""
