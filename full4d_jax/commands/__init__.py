"""The verbs of `full4d`, one module each.

A module named after its verb holds one function of that name (or, for verbs with a second word such
as `data check`, one public function a word), typed and documented: tyro makes the options from it.
Modules import jax, and everything that imports jax, inside the function only: `--help` stays fast.
"""

SIZES = ("data.views", "data.frames", "data.height", "data.width")
