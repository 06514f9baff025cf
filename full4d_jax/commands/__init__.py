"""The verbs of `full4d`, one module each.

A module named after its verb holds one function of that name (or, for verbs with a second word such
as `data check`, one public function a word), typed and documented: tyro makes the options from it.
Modules import jax, and everything that imports jax, inside the function only: `--help` stays fast.
"""

from typing import Annotated

from full4d_jax.session.processes import ProcessOptions
from full4d_jax.source.options import Flat

SIZES = ("data.views", "data.frames", "data.height", "data.width")
# Options of several processes.
Several = Annotated[ProcessOptions, Flat]
