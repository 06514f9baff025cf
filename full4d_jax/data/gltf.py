"""Write clips of animated glTF assets as a dataset: `full4d data gltf`."""

from pathlib import Path

from full4d_jax.data.build import build_dataset, train_and_test
from input_pipeline.procedural.gltf_clips import GltfClips


def build_gltf(out: Path, clips: GltfClips, *, test: float, shards: int, jobs: int) -> None:
    """Write the dataset; errors as in `build_dataset`."""
    names = ", ".join(asset.name for asset in clips.assets[:20])
    size = f"{clips.views} views of {clips.frames} frames of {clips.width}x{clips.height} pixels"
    about = (
        f"{clips.count} clips of {len(clips.assets)} animated assets ({names}), {size}, targets "
        f"within {clips.spread:g} degrees, rendered by full4d_jax."
    )
    splits = train_and_test(test)
    build_dataset(out, clips, name="gltf", splits=splits, about=about, shards=shards, jobs=jobs)
    print(f"next: full4d train CONFIG --data.records {out} (or a mixture, {out}=1 OTHER=3)")
