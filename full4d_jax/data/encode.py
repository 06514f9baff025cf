"""Clips with the latents of a codec beside their pictures, so that training need not encode.

An encoded record is a record like others: its pictures have the size of training, and its latents
are those of just these pictures, as decoded from their files. A codec that takes one frame at a
time leaves clips as long as they are. One that joins frames (Wan's) sees a window as a whole, so
clips are cut into the windows that training takes, one after the other. With `data.projections`
clips are cut so too, and each window also has that many draws of its projection, encoded. With a
text encoder each window has its clip's caption, embedded once for all clips that have it.
"""

import threading
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float16, Float32, Int, PRNGKeyArray, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, check_config
from full4d_jax.data import build, clip_page, data_options
from full4d_jax.generation import batch, generate
from full4d_jax.media.pictures import save_picture, to_model
from full4d_jax.models.codec import make_codec
from full4d_jax.models.codec_files import codec_id, codec_weights
from full4d_jax.models.sharded_map import OnLocalDevices
from full4d_jax.models.wan.umt5 import prompt_encoder
from full4d_jax.session import buckets, errors, fields
from full4d_jax.training.clips.record_clips import clip_size
from input_pipeline import h264, plain_files, transforms
from input_pipeline.datasets.dataset import Records, open_dataset
from input_pipeline.schema import Example, Projected, projection_to_bytes
from input_pipeline.selection import select

# A clip with its caption and its embedding.
Captions = Callable[[Example], Example]
# Of the arrays of a `Projected` but its poses, by name.
Encoder = Callable[..., dict[str, Any]]


def encoded_projections(
    config: Config,
    encoder: Encoder,
    index: int,
    example: Example,
    frames: UInt8[np.ndarray, "v t h w 3"],
) -> Iterator[bytes]:
    """Yield `config.data.projections` files (`input_pipeline.schema`).

    The sources take turns, in random order. All is a pure function of the config and the clip.

    Args:
      config: the experiment.
      encoder: `encode_projection`, its config and weights bound.
      index: of the clip among all that are encoded.
      example: the clip, with pictures of the size of training.
      frames: the pictures of all views, decoded.

    Raises:
      ValueError: no view has depth at all instants, and some at the first; it names the scene.
    """
    views, times, height, width = frames.shape[:4]
    depth = np.zeros((views, times, height, width), np.float32)
    transforms.decode_depths(example, depth)
    sources = [i for i in range(views) if all(example.depth16[i]) and depth[i, 0].any()]
    if not sources:
        expected = "depth at all instants of some view, to project it"
        raise ValueError(f"scene {example.scene_id}: found none, expected {expected}")
    order = np.random.default_rng((config.seed, index)).permutation(sources)
    key = jax.random.fold_in(jax.random.key(config.seed), index)
    for draw in range(config.data.projections):
        source = int(order[draw % len(order)])
        in_order = np.r_[source, np.delete(np.arange(views), source)]
        # Back to the record's order.
        place = np.argsort(in_order)
        known, poses = transforms.to_source(
            depth[source], example.world_to_camera[in_order]
        )
        lenses = example.intrinsics[in_order]
        encoded = encoder(frames[source], known, lenses, poses, key, draw)
        nothing = encoded.pop("nothing")
        rows: dict[str, Any] = {
            k: x if x is None else x[place] for k, x in encoded.items()
        }
        arrays = Projected(source, poses[place], **rows, nothing=nothing)
        yield projection_to_bytes(arrays)


@partial(jax.jit, static_argnums=0)
def encode_projection(
    config: Config,
    weights: Any,
    frames: UInt8[Array, "t h w 3"],
    depth: Float32[Array, "t h w"],
    lenses: Float32[Array, "v 3 3"],
    poses: Float32[Array, "v t 4 4"],
    key: PRNGKeyArray,
    draw: Int[Array, ""],
) -> dict[str, Any]:
    """Draw the depth of a source, project and encode it; see `Encoder`.

    The config names the codec, and how often depth is corrupted (`data.corrupt_depth`).
    """
    model = config.model
    video = to_model(frames)
    depth = batch.draw_depth(key, draw, depth, config.data)
    cameras = Cameras(lenses, poses, *depth.shape[1:])
    conditions, _ = generate.make_conditions(
        model, video[None], depth[None], cameras, weights
    )
    # Records keep latents in half precision.
    half = jnp.float16
    return {
        "projection": conditions.projection.astype(half),
        "filled": conditions.base.astype(half) if model.reads_filled else None,
        "mask": conditions.mask.astype(jnp.uint8),
        "disparity": conditions.disparity.astype(half),
        "nothing": make_codec(model, weights)
        .encode(jnp.zeros_like(video))
        .astype(half),
    }


@partial(jax.jit, static_argnums=0)
def encode_views(
    config: Config, weights: Any, frames: UInt8[Array, "v t h w 3"]
) -> Float16[Array, "v f i j c"]:
    """Encode the views of a clip one after the other."""
    codec = make_codec(config.model, weights)
    latents = jax.lax.map(lambda x: codec.encode(to_model(x)), frames)
    return latents.astype(jnp.float16)


class EncodedClips:
    """Clips of a dataset at the size of training, with latents; an `encoding.ClipSource`.

    As many threads as this host has devices may ask for clips.

    Attributes:
      scene_ids: of every window.
      is_cut: whether clips are cut into windows.
      span: instants from the first to the last of a window.
      left_out: instants behind the last window of their clip.
    """

    def __init__(
        self, records: Records, config: Config, captions: Captions | None = None
    ):
        self.records = records
        self.config = config
        self.captions = captions
        weights = codec_weights(config)
        self.encoder = OnLocalDevices(partial(encode_views, config), weights)
        self.codec = codec_id(config)
        data = config.data
        self.projector = None
        if data.projections:
            self.projector = OnLocalDevices(partial(encode_projection, config), weights)
        self.is_cut = bool(data.projections) or config.model.strides.frames > 1
        self.span = span = (data.frames - 1) * data.strides[0] + 1
        self.cuts: list[tuple[int, np.ndarray]] = []
        self.left_out = 0
        for number, clip in enumerate(records.clips):
            length = clip["frames"]
            own, step = (span, data.strides[0]) if self.is_cut else (length, 1)
            starts = range(0, length - own + 1, own)
            self.cuts += [(number, np.arange(i, i + own, step)) for i in starts]
            self.left_out += length - len(starts) * own
        self.scene_ids = [records.clips[number]["scene"] for number, _ in self.cuts]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.cuts)

    def __getitem__(self, index: int, /) -> Example:
        """Decode, cut to size, encode."""
        number, times = self.cuts[index]
        height, width = clip_size(self.config, self.records.clips[number])
        whole = self.records[number]
        part = select(whole, np.arange(len(whole.frames)), times)
        example = resized(part, height, width)
        frames = np.empty((*example.frames.shape, height, width, 3), np.uint8)
        transforms.decode_into(example, frames)
        encoded = example._replace(latents=self.encoder(frames), codec=self.codec)
        if self.captions is not None:
            encoded = self.captions(encoded)
        if self.projector is None:
            return encoded
        projections = encoded_projections(
            self.config, self.projector, index, example, frames
        )
        files = list(projections)
        return encoded._replace(projections=np.array(files, object))


def resized(example: Example, height: int, width: int) -> Example:
    """Return a clip with files of another size, without distortion; keep files that fit.

    Raises:
      ValueError: naming the scene and the file that cannot be decoded.
    """
    whole = transforms.decode(example, height=height, width=width)
    frames = example.frames.copy()
    depth = example.depth16.copy()
    masks = example.masks.copy()
    for i, files in enumerate(example.frames):
        fits = transforms.view_size(files.item(0)) == (height, width)
        if fits and not example.distortion[i].any():
            continue
        film = h264.is_stream(files.item(0))
        frames[i] = transforms.encode_view(whole.frames[i], film=film)
        for j in range(len(files)):
            if depth[i, j]:
                depth[i, j] = transforms.encode_depth(whole.depth[i, j])
            if masks[i, j]:
                masks[i, j] = transforms.encode_mask(whole.masks[i, j])
    return example._replace(
        frames=frames,
        depth16=depth,
        masks=masks,
        intrinsics=whole.intrinsics,
        distortion=np.zeros_like(example.distortion),
    )


def encode_dataset(
    config: Config,
    dataset: Path,
    out: Path,
    split: str,
    writing: data_options.Writing,
    text_encoder: Path | None = None,
    captions: Path | None = None,
) -> None:
    """Write the encoded clips of a split, or this part of their files, with progress.

    Args:
      config: names the codec, its weights, and the size and length of training's clips.
      dataset: the folder to read.
      out: folder of the new dataset.
      split: split to read and to write.
      writing: how many files, and which of them; all devices of this host encode.
      text_encoder: folder of what embeds the clips' captions, if any; see `prompt_encoder`.
      captions: JSON file with captions by scene, in place of the clips' own.

    Raises:
      InputError: the config, the codec's weights, the dataset or the folder cannot be used.
    """
    check_config(config)
    do = "choose another dataset, --out or option"
    with errors.input_errors("dataset", do):
        records = open_dataset(dataset, split)
    about_text, embed = caption_embedder(config, records, text_encoder, captions)
    clips = EncodedClips(records, config, embed)
    if not len(clips):
        frames = f"clips of at least {clips.span} instants"
        do = "lower --data.frames"
        raise errors.InputError("dataset", dataset, "none", frames, do)
    if clips.left_out:
        print(f"unused: {clips.left_out} instants after the last window of their clip")
    if clips.is_cut:
        print(_describe_rate(config, records))
    data = config.data
    sizes = " ".join(data.buckets) or f"{data.height}x{data.width}"
    about = f"The split {split} of a dataset ({records.content}) with latents of {clips.codec}"
    about += f", pictures of {sizes}, in windows of {data.frames} frames" * clips.is_cut
    about += f", {data.strides[0]} apart" * clips.is_cut
    if data.projections:
        about += f". Each window has {data.projections} encoded projections, of random sources"
        about += f" and depth, corrupted in a share of {data.corrupt_depth:g}, seed {config.seed}"
        print(f"each window gets {data.projections} encoded projections")
    about += about_text
    about += "."
    writing = writing._replace(threads=jax.local_device_count())
    then = f"train --config PRESET --data.records {out}"
    card = build.Card("latents", {split: 1.0}, about)
    if build.build_dataset(out, clips, writing, card, then, do):
        first = open_dataset(out, split)[0]
        save_picture(out / "preview.png", clip_page.preview(first))
        print(buckets.shown(f"{out / 'preview.png'} shows the first clip"))


def _describe_rate(config: Config, records: Records) -> str:
    """Return a sentence on the frame rates of the windows."""
    data = config.data
    lasting = [clip for clip in records.clips if clip["seconds"] > 0]
    rates = [
        (clip["frames"] - 1) / clip["seconds"] / data.strides[0] for clip in lasting
    ]
    windows = "windows are stills"
    if rates:
        windows = f"windows have {np.median(rates):.3g} frames a second"
    every = "--data.strides takes every n-th frame"
    return f"{windows}; the config's videos have {data.fps:g} ({every})"


def caption_embedder(
    config: Config, records: Records, text_encoder: Path | None, file: Path | None
) -> tuple[str, Captions | None]:
    """Return the card's sentence about captions, and the function that embeds them, if any.

    Args:
      config: names the width of the model's text.
      records: the clips.
      text_encoder: folder of the encoder (`prompt_encoder`); None embeds nothing.
      file: JSON file with captions by scene, in place of the clips' own.

    Raises:
      InputError: there is no caption, the file is unusable, or the encoder is not the model's.
    """
    if text_encoder is None:
        needs_none = not config.data.captions and file is None
        expected = "the folder of umT5, to embed captions with (docs/wan.md)"
        fields.require_option("text_encoder", "none", needs_none, expected)
        return "", None
    texts = {}
    digest = ""
    if file is not None:
        do = 'write {"SCENE": "its caption", ...}'
        errors.require_file("captions", file, "a JSON file", do)
        with errors.input_errors("captions", do):
            texts = plain_files.load_json(file)
            plain_files.require_layout(texts, {str: str}, str(file))
        digest = f" of {plain_files.file_hash(file)[:16]}"
    count = sum(clip["caption"] or clip["scene"] in texts for clip in records.clips)
    if not count:
        found = "no clip with a caption"
        do = "give them as --captions FILE"
        raise errors.InputError("dataset", records.folder, found, "some", do)
    print(
        f"{count} of {len(records)} clips have a caption; empty ones are embedded, too"
    )
    if other := sorted(set(texts) - set(records.scene_ids)):
        print(f"unused: {len(other)} captions of scenes not here, such as {other[0]!r}")
    encode = lru_cache(maxsize=64)(prompt_encoder(text_encoder))
    width = encode("")[0].shape[1]
    if width != config.model.text_width:
        found = f"width {width}"
        expected = f"{config.model.text_width}, the model's"
        do = "give another"
        raise errors.InputError("text encoder", text_encoder, found, expected, do)

    # A tokenizer serves one thread at a time.
    alone = threading.Lock()

    def embed(example: Example) -> Example:
        caption = texts.get(example.scene_id, example.caption)
        with alone:
            rows = encode(caption)[0]
        return example._replace(caption=caption, text=rows.astype(np.float16))

    return f". Captions{digest} are embedded by {text_encoder.name}", embed
