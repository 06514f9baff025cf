"""The verbs of `full4d`, one module each.

A module named after its verb holds one function of that name (or, for verbs with a second word such
as `data check`, one public function a word), typed and documented: tyro makes the options from it.
`full4d --help` reads their docstrings alone. Modules import jax, and everything that imports jax,
inside the function only: help of a verb, and the line that says that it begins, do not wait for it.
"""
