"""The geometry of pictures: tracked corners, paths of cameras, points and depth from many views."""
