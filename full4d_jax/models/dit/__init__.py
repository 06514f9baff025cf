"""The multi-view video diffusion transformer of Full-4D and 4Real-Video.

In the order in which a value passes:

dit               noisy latents, flow times and conditions to velocity: the entry
conditions        what a grid is generated from, as arrays
parametrisations  what the network sees of the latents, and what its output means
guides            projection as frames (Full-4D) or as channels, or real frames (4Real-Video)
moved_base        a parametrisation that warps the nearest real frame
tokens            a grid as one row of tokens, and its flow times
backbone          flow time, cameras and text embedded; blocks one after the other
two_streams       blocks along views and along times, synchronized hard or soft (4Real-Video)
block             modulated attention and feed-forward, Wan's
attention         fused time-view attention (Full-4D): masks, positions, and a kernel a platform
camera_conditioning   how tokens learn their camera: linear (Full-4D), plucker, prope
sharding          which axis of an array is divided over which axis of the mesh
"""
