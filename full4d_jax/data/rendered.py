"""Write rendered clips as a data set: `full4d data procedural` and `full4d data gltf`."""

from pathlib import Path

from full4d_jax.data.build import build_dataset, train_and_test
from full4d_jax.session.errors import input_errors
from input_pipeline.procedural.clips import ProceduralClips, textures_mark
from input_pipeline.procedural.gltf_clips import GltfClips


def build_procedural(
    out: Path,
    clips: ProceduralClips,
    *,
    test: float,
    shards: int,
    jobs: int,
    part: tuple[int, int],
    beam: str | None,
) -> None:
    """Write procedural scenes; `test` is the share of that split, the rest as in `build_dataset`.

    Raises:
      InputError: there are no textures, or as in `build_dataset`.
    """
    about = (
        f"{clips.worlds.capitalize()} procedural scenes {clips.first} to "
        f"{clips.first + clips.count - 1}, {clips.views} views of {clips.frames} frames of "
        f"{clips.width}x{clips.height} pixels, depth of "
        f"{'all views' if clips.all_depth else 'the source'}, "
        f"{'masks of people, ' * clips.masks}rendered by full4d_jax."
    )
    if clips.textures:
        with input_errors("option", "choose another --textures"):
            mark = textures_mark(clips.textures)
        about += f" Colours of pictures in {Path(clips.textures).name} ({mark})."
    if build_dataset(
        out,
        clips,
        name="procedural",
        splits=train_and_test(test),
        about=about,
        shards=shards,
        jobs=jobs,
        part=part,
        beam=beam,
    ):
        print(f"next: full4d train --config PRESET --data.records {out}")


def build_gltf(out: Path, clips: GltfClips, *, test: float, shards: int, jobs: int) -> None:
    """Write clips of animated glTF assets; errors as in `build_dataset`."""
    names = ", ".join(asset.name for asset in clips.assets[:20])
    size = f"{clips.views} views of {clips.frames} frames of {clips.width}x{clips.height} pixels"
    about = (
        f"{clips.count} clips of {len(clips.assets)} animated assets ({names}), {size}, targets "
        f"within {clips.spread:g} degrees{', along one arc' * clips.orbit}, rendered by full4d_jax."
    )
    splits = train_and_test(test)
    build_dataset(out, clips, name="gltf", splits=splits, about=about, shards=shards, jobs=jobs)
    print(f"next: full4d train --config PRESET --data.records {out} (or mixed, {out}=1 OTHER=3)")
