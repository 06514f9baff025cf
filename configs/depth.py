"""The depth network in the package, trained on procedural frames only.

    full4d train configs/depth.py

4,800 steps, 191,520 frames, each of a scene of its own; 72 minutes of wall time on about half of
one x86-64 core (the half of the steps with small frames comes first and is the cheaper one). On
held-out scenes with both medians at 1, of the averaged weights (`checkpoints/depth.json`):

    64 pixels, 512 scenes    AbsRel .275   within a factor 1.25: 64 %   SIlog .307
    96 pixels, 128 scenes    AbsRel .281                         64 %         .301
    a constant depth         AbsRel .701                         24 %         .742

It falls short of the aim (AbsRel .20) and had not converged: .326 at step 2,600, .287 with all
4,800, when the learning rate was used up (one frame without its mirror image, 256 scenes). More
steps are the first thing to try: `--training.steps 20000`, with `--out` another folder.
"""

from full4d_jax.depth_config import DepthConfig

config = DepthConfig()
