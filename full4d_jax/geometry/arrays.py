"""Names of the arrays that geometry and depth pass on, all of numpy."""

from jaxtyping import Bool, Float, Int32, UInt8
from numpy import ndarray

# Intrinsics, pixels, and world to camera at every instant.
Lens = Float[ndarray, "3 3"]
Poses = Float[ndarray, "t 4 4"]

# Pictures in sRGB, and values of their pixels such as depth.
Picture = UInt8[ndarray, "h w 3"]
Pictures = UInt8[ndarray, "t h w 3"]
Map = Float[ndarray, "h w"]
Maps = Float[ndarray, "t h w"]
Mask = Bool[ndarray, "h w"]
Masks = Bool[ndarray, "t h w"]
Labels = Int32[ndarray, "t h w"]

# Places x y in pixels, and a value of each.
Points = Float[ndarray, "n 2"]
Values = Float[ndarray, " n"]
