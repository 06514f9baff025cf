"""Convert scenes and weights from one file format into another."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config, check_config
from full4d_jax.session import errors, fields
from full4d_jax.source.options import PlaySeconds

# What of `gaussians` writes each kind, which the ending of a name asks for; the first that fits.
WRITERS = {
    ".4d.ply": "save_dynamic_ply",
    ".ftgs.ply": "save_ftgs_ply",
    ".compressed.ply": "save_packed_ply",
    ".ply": "save_ply",
    ".4dgs": "save_4dgs",
    ".splat": "save_splat",
    ".spz": "save_spz",
    ".sog": "save_sog",
    ".glb": "save_glb",
    ".html": "",
}
File = tyro.conf.Positional[Path]
MOVING = (".4d.ply", ".ftgs.ply", ".4dgs")
TARGETS = f"{', '.join(WRITERS)}, or no suffix for a folder of .ply files"


def splats(
    source: File,
    target: File,
    *,
    time: fields.Share = 0.0,
    instants: Annotated[int, fields.Between(1, 10_000)] = 16,
    seconds: PlaySeconds = None,
) -> None:
    """Write a scene as another kind of file.

    docs/formats.md lists what each kind keeps. A still scene becomes a 4D one that does not move.

    Args:
      source: the folder of a run, a .ply (3DGS, packed, 4D, FTGS), .splat, .spz, .sog (or its
        unpacked folder) or .npz.
      target: by its name a .4d.ply (4D, nothing lost), .4dgs or .ftgs.ply (4D, for players), .html
        (a page), .compressed.ply (packed), .ply (3DGS), .spz, .sog, .glb (glTF), .splat, or
        without a suffix a folder with one .ply an instant.
      time: instant of a 4D scene, for kinds that hold one: 0 is the first frame, 1 the last.
      instants: number of .ply files in a folder.
      seconds: how long one pass through the clip plays, for .4dgs and .html; without it, as long as
        the video.
    """
    kind = next((x for x in WRITERS if target.name.endswith(x)), target.suffix)
    if kind and kind not in WRITERS:
        raise errors.InputError("target", target, kind, TARGETS, "give another name")
    import gaussians
    from full4d_jax.scene.scene_reader import open_scene
    from full4d_jax.session.files import open_folder
    from gaussians.motion import still
    from input_pipeline.whole_files import whole_file, write_text

    shown = open_scene(source)
    scene = shown.scene
    moves = kind in MOVING or not kind
    if moves and isinstance(scene, gaussians.Gaussians):
        scene = still(scene)
    do = "give another target"
    if kind in MOVING and not isinstance(scene, gaussians.DynamicGaussians):
        found = "motion by deformation"
        raise errors.InputError("scene", source, found, "freetime motion", do)
    if not moves and kind != ".html" and not isinstance(scene, gaussians.Gaussians):
        scene = scene.at(time)
    open_folder(target.parent if kind else target)
    with errors.input_errors("scene", do):
        if not kind:
            assert not isinstance(scene, gaussians.Gaussians), "made 4D before"
            gaussians.save_ply_sequence(target, scene, instants)
        elif kind == ".html":
            write_text(target, shown.page(seconds))
        else:
            more = {"seconds": seconds or shown.seconds} if kind == ".4dgs" else {}
            with whole_file(target) as partial:
                getattr(gaussians, WRITERS[kind])(partial, scene, **more)
    files = sorted(target.glob("*.ply")) if target.is_dir() else [target]
    size = sum(file.stat().st_size for file in files)
    what = kind or "one .ply an instant"
    print(f"{target}: {what}, {shown.count} Gaussians, {size / 1e6:.2f} MB")


def codec(source: File, target: File, *, sha256: str = "") -> None:
    """Write the published weights of a codec as one file, for --codec_weights.

    Args:
      source: the folder of Wan's VAE as diffusers publishes it, Wan2.1_VAE.pth or Wan2.2_VAE.pth.
      target: the .safetensors file to write, in bfloat16.
      sha256: refuse a file that is not this one. What was found is printed.
    """
    errors.require_ending(target, ".safetensors")
    from full4d_jax.models import codec_files
    from full4d_jax.models.tensor_files import PUBLISHED
    from full4d_jax.models.wan.vae_weights import find_vae
    from full4d_jax.session.files import open_folder
    from input_pipeline.plain_files import file_hash

    path = find_vae(source)
    mark = file_hash(path)
    if sha256 and mark != sha256:
        raise errors.InputError("SHA-256", source, mark, sha256, "download it again")
    origin = (
        f"{PUBLISHED[mark]} as published" if mark in PUBLISHED else "not known here"
    )
    print(f"{path}: SHA-256 {mark}, {origin}")
    open_folder(target.parent)
    name, weights = codec_files.convert_codec(path)
    codec_files.save_codec(target, name, weights)
    print(f"{target}: {name}, {target.stat().st_size / 1e6:.2f} MB")
    line = "next: full4d train --config PRESET"
    print(f"{line} --model.codec {name} --codec_weights {target}")


def wan(
    config: Annotated[Config, fields.Shown(("model",))],
    *,
    source: Annotated[Path, tyro.conf.arg(name="from")],
    target: Annotated[Path, tyro.conf.arg(name="to")],
    export: bool = False,
) -> None:
    """Write Wan's published weights as a checkpoint, or with --export a checkpoint back.

    The config is the preset of that model, such as --config wan22_5b. One tensor is in memory at a
    time. Nothing is rounded: float32 and bfloat16 stay, float16 becomes float32.

    Args:
      source: a folder with the .safetensors files of the transformer, or one file, as diffusers or
        as the original repositories publish them; with --export a checkpoint.
      target: the checkpoint (.safetensors) to write; with --export a new folder, for diffusers'
        WanTransformer3DModel.from_pretrained.
      export: write a checkpoint's weights in diffusers' layout.
    """
    check_config(config)
    if export:
        from full4d_jax.models.wan.conversion import export_wan

        left_out = export_wan(config.model, source, target)
        print(f"{target}: WanTransformer3DModel.from_pretrained loads it")
        if left_out:
            print(f"left out, since Wan has no place for it: {', '.join(left_out)}")
        return
    errors.require_ending(target, ".safetensors")
    from full4d_jax.models.wan.conversion import import_wan
    from full4d_jax.session.files import open_folder

    open_folder(target.parent)
    layout = import_wan(config.model, source, target)
    print(f"{target}: {layout} layout, {target.stat().st_size / 1e9:.2f} GB")
    print(f"next: full4d train --config PRESET --init {target}")
