"""Fused time-view attention: one module a backend; its definition is `tests/dense_mask.py`.

Which frames read which is defined in `full4d_jax.config.masks`.
"""
