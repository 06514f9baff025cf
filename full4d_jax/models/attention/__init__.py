"""Fused time-view attention: the oracle (`mask`) and one module a backend.

Which frames read which is defined in `full4d_jax.config.masks`.
"""
