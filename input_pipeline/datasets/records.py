"""Records as bytes: an `Example` as the `tf.train.Example` that tfds reads, without TensorFlow.

tfds keeps ragged axes only with TensorFlow installed, so files of all views and instants stand in
one row, (v t), and latents and text are bytes beside their shape; `from_bytes` puts the axes back.
Numbers are float32 there, `fps` and `unit` too.
"""

from itertools import chain
from typing import Any, cast

import numpy as np
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.features import FeaturesDict, Scalar, Tensor, Text
from tensorflow_datasets.core.features import Sequence as Files

from input_pipeline.plain_files import check_field
from input_pipeline.schema import FILES, SCHEMA_VERSION, TEXTS, Example

# Bytes of files; messages of protobuf end at 2 GiB, numbers among them.
MAX_RECORD_BYTES = 2**31 - 2**24
_FILES = Tensor(shape=(), dtype=np.object_)


def _floats(*shape: int | None) -> Tensor:
    return Tensor(shape=shape, dtype=np.float32)


FEATURES = FeaturesDict(
    {
        "version": Scalar(np.int64),
        "scene_id": Text(),
        "fps": Scalar(np.float32),
        "views": Scalar(np.int64, doc="v; the other axis of files is time"),
        "timestamps": _floats(None),
        "frames": Files(_FILES, doc="JPEG files or H.264 videos, view after view"),
        "intrinsics": _floats(None, 3, 3),
        "world_to_camera": _floats(None, 4, 4),
        "distortion": _floats(None, 8),
        "depth16": Files(_FILES, doc="PNG files of float16 bits, or empty"),
        "masks": Files(_FILES, doc="PNG files of grey levels, or empty"),
        "latents": Tensor(shape=(), dtype=np.object_, doc="float16, v f h w c"),
        "latents_shape": Tensor(shape=(5,), dtype=np.int64),
        "codec": Text(),
        "projections": Files(_FILES, doc="safetensors files, or none"),
        "caption": Text(),
        "text": Tensor(shape=(), dtype=np.object_, doc="float16, tokens x channels"),
        "text_shape": Tensor(shape=(2,), dtype=np.int64),
        "unit": Scalar(np.float32),
        "source": Text(),
        "license": Text(),
    }
)
_SERIALIZER = ExampleSerializer(cast(Any, FEATURES.get_serialized_info()))


def to_bytes(example: Example) -> bytes:
    """Return the record; the same example gives the same bytes on every machine.

    Raises:
      ValueError: it would be larger than a record can be, 2 GiB.
    """
    files = [getattr(example, name).flat for name in (*FILES, "projections")]
    size = example.latents.nbytes + example.text.nbytes + sum(map(len, chain(*files)))
    expected = "less than 2 GiB: cut clips (--frames) or shrink them (--size)"
    check_field("record", size <= MAX_RECORD_BYTES, f"{size / 2**30:.2f} GiB", expected)
    fields = example._asdict() | {
        "views": len(example.timestamps),
        "timestamps": example.timestamps.reshape(-1),
        "world_to_camera": example.world_to_camera.reshape(-1, 4, 4),
        **{name: getattr(example, name).reshape(-1).tolist() for name in FILES},
        "projections": example.projections.tolist(),
        "latents": example.latents.tobytes(),
        "latents_shape": np.array(example.latents.shape, np.int64),
        "text": example.text.tobytes(),
        "text_shape": np.array(example.text.shape, np.int64),
    }
    # The index has it.
    del fields["generated"]
    encoded = FEATURES.encode_example(fields)
    # Without `deterministic` fields come in any order.
    return _SERIALIZER.get_tf_example(encoded).SerializeToString(deterministic=True)


def from_bytes(record: bytes) -> Example:
    """Return the example of a record.

    Raises:
      ValueError: the record is of another version of the schema, or damaged.
    """
    try:
        fields: Any = FEATURES.deserialize_example_np(record)
        version = int(fields["version"])
        if version == SCHEMA_VERSION:
            return _example(dict(fields))
    except Exception as error:
        found = f"{len(record)} bytes that do not decode ({error})"
        raise ValueError(f"record: found {found}, expected a whole record") from None
    raise ValueError(f"record version: found {version}, expected {SCHEMA_VERSION}")


def _example(fields: dict[str, Any]) -> Example:
    views = int(fields.pop("views"))
    shape = fields.pop("latents_shape")
    text_shape = fields.pop("text_shape")
    fields |= {name: fields[name].decode() for name in TEXTS}
    fields |= {name: float(fields[name]) for name in ("fps", "unit")}
    for name in FILES:
        fields[name] = np.asarray(fields[name], object).reshape(views, -1)
    fields |= {
        "timestamps": fields["timestamps"].reshape(views, -1),
        "world_to_camera": fields["world_to_camera"].reshape(views, -1, 4, 4),
        "projections": np.asarray(fields["projections"], object),
        "latents": np.frombuffer(fields["latents"], np.float16).reshape(shape),
        "text": np.frombuffer(fields["text"], np.float16).reshape(text_shape),
    }
    return Example(**fields)
