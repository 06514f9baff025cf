"""Write procedural scenes as a data set: `full4d data procedural`."""

from pathlib import Path

from full4d_jax.data.build import build_dataset, train_and_test
from full4d_jax.session.errors import input_errors
from input_pipeline.procedural.clips import ProceduralClips, textures_mark


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
    """Write the dataset, `test` being the share of that split; the rest as in `build_dataset`.

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
        print(f"next: full4d train CONFIG --data.records {out}")
