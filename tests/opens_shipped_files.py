"""Open a file of each kind that the wheel ships, as a program that was installed does."""

from full4d_jax.config import DEFAULT
from full4d_jax.generation.prior import open_prior
from full4d_jax.scene.page import fill_template
from full4d_jax.source.depth.our_network import load_depth
from full4d_jax.source.options import CLIP
from input_pipeline.video_files import frame_size

open_prior(DEFAULT)
load_depth()
fill_template("viewer.css", {})
frame_size(CLIP)
