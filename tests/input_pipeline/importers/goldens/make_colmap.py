"""Writes the COLMAP projects of this folder with pycolmap 4.2.1, which no test needs.

    pip install pycolmap==4.2.1
    python tests/input_pipeline/importers/goldens/make_colmap.py

Camera i has lens model i of the list, stands at `position` and is turned by `rotation`; points are
added so that images list some. truth.json is what pycolmap itself says of poses and of where a
point lands.
"""

import json
from pathlib import Path

import numpy as np
import pycolmap

FOLDER = Path(__file__).parent / "colmap"
BENT = [0.05, -0.02, 0.003, -0.002]
LENSES = {
    "SIMPLE_PINHOLE": [30, 16, 12],
    "PINHOLE": [30, 31, 16, 12],
    "SIMPLE_RADIAL": [30, 16, 12, 0.05],
    "RADIAL": [30, 16, 12, 0.05, -0.02],
    "OPENCV": [30, 31, 16.5, 11.5, *BENT],
    "FULL_OPENCV": [30, 31, 16, 12, *BENT, 0.01, 0.02, -0.01, 0.005],
}
POINT = [0.3, -0.2, 4.0]

scene, truth = pycolmap.Reconstruction(), {}
for number, (model, params) in enumerate(LENSES.items(), 1):
    size = {"width": 32, "height": 24}
    camera = pycolmap.Camera(camera_id=number, model=model, **size, params=params)
    scene.add_camera_with_trivial_rig(camera)
    angle = 0.1 * number
    # x y z w
    quaternion = np.array([np.sin(angle) * 0.6, np.sin(angle) * 0.8, 0, np.cos(angle)])
    shift = np.array([0.1 * number, -0.2, 0.3])
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(quaternion), shift)
    points = [pycolmap.Point2D(np.array([1.0 * k, 2.0])) for k in range(number)]
    ids: dict = {"name": f"cam{number}.png", "camera_id": number, "image_id": number}
    image = pycolmap.Image(**ids, points2D=pycolmap.Point2DList(points))
    scene.add_image_with_trivial_frame(image, pose)
    pixel = camera.img_from_cam(pose * np.array(POINT))
    matrix = pose.matrix().tolist()
    truth[image.name] = {"world_to_camera": matrix, "pixel": pixel.tolist()}
for kind, write in (("bin", scene.write_binary), ("txt", scene.write_text)):
    (FOLDER / kind).mkdir(parents=True, exist_ok=True)
    write(str(FOLDER / kind))
told = {"point": POINT, "images": truth}
(FOLDER / "truth.json").write_text(json.dumps(told, indent=1))
