"""What `report.py` runs: each benchmark's command, small and large, and what it shows."""

from typing import NamedTuple


class Benchmark(NamedTuple):
    """One row: a command after `python`, in which OUT is the row's own folder."""

    name: str
    command: str
    small: str  # further words of a quick run
    large: str  # of one whose numbers are worth showing
    minutes: tuple[float, float]  # planned: small and large
    numbers: tuple[str, ...] = ()  # places in the result to show: keys with slashes, * is any
    needs: tuple[str, ...] = ()  # packages, or files under FULL4D_DATA (with a slash)
    result: str = ""  # a file in OUT; without one it is the last line that is printed
    page: str = ""  # a file in OUT to show besides
    one_core: bool = False  # where jax runs on the CPU, since CPU time is what is measured


VERB = "-m full4d_jax.cli"
TINY_FIT = "--steps 60 --height 44 --gaussians 1500 --instants 6 --out OUT --ways"
WAN = ("wan21", "wan22")
STATIC = "--height 128 --out OUT --gaussians"
MOVING = "--out OUT --gaussians"
BENCHMARKS = (
    Benchmark(
        "demo",
        f"{VERB} run",
        "--lift.steps 100 --out OUT",
        "--out OUT",
        (1, 2),
        ("seconds_in_all", "peak_memory_gib", "seconds/*"),
        result="report.json",
    ),
    Benchmark(
        "quality",
        f"{VERB} evaluate configs/demo.py --first 64 --out OUT",
        "--scenes 4 --lift_scenes 0",
        "--scenes 64 --lift_scenes 16",
        (1, 30),
        result="evaluation.json",
        page="evaluation.md",
    ),
    Benchmark(
        "grids",
        f"{VERB} evaluate configs/four_real.py --first 64 --out OUT",
        "--scenes 4",
        "--scenes 64",
        (1, 2.5),
        result="evaluation.json",
        page="evaluation.md",
    ),
    Benchmark(
        "few_steps",
        "benchmarks/sampling.py configs/demo_few_step.py --sampler.noise 1",
        "--repeats 1 --sampler.steps 1",
        "--sampler.steps 4",
        (0.5, 0.5),
        ("seconds", "peak_memory_gib", "stage_seconds/*"),
        one_core=True,
    ),
    Benchmark(
        "sampling",
        "benchmarks/sampling.py",
        "--repeats 1",
        "",
        (0.5, 0.5),
        ("seconds", "peak_memory_gib", "stage_seconds/*", "network_mfu"),
        one_core=True,
    ),
    Benchmark(
        "training",
        "benchmarks/training.py configs/demo.py",
        "--steps 1 --turns 1",
        "",
        (1, 2),
        ("seconds_per_step", "data_wait", "flops_per_second", "mfu"),
        one_core=True,
    ),
    Benchmark(
        "training_against_torch",
        "benchmarks/training.py",
        "--width 64 --layers 1 --heads 2 --ffn 128 --tokens 16 --repeats 1",
        "",
        (0.5, 1.5),
        ("torch_over_ours", "seconds_per_step", "torch_seconds_per_step", "flops_per_second"),
        ("torch", "diffusers"),
        one_core=True,
    ),
    Benchmark(
        "attention",
        "benchmarks/attention.py",
        "--views 3 --frames 8 --tokens 4 --repeats 2",
        "",
        (0.5, 1),
        ("fused_over_full_forward", "fused_over_full", "fused_over_full_in_blocks", "mask_density"),
        one_core=True,
    ),
    Benchmark(
        "rasterizer",
        "benchmarks/rasterizer.py",
        "--scenes 10k --repeats 1",
        "--scenes 10k 100k garden",
        (1, 4),
        ("*",),
        one_core=True,
    ),
    Benchmark(
        "input",
        "benchmarks/input.py",
        "--sizes 64x64 --seconds 0.5 --turns 1",
        "",
        (0.5, 3),
        ("frames_per_second", "fraction_of_raw_decode", "over_torch_dataloader"),
    ),
    Benchmark(
        "input_films",
        "benchmarks/input.py --film",
        "--sizes 64x64 --seconds 0.5 --turns 1",
        "",
        (0.5, 3.5),
        ("frames_per_second", "fraction_of_raw_decode", "over_torch_dataloader"),
    ),
    Benchmark(
        "films",
        "benchmarks/films.py",
        "--sizes 64x64 --frames 4",
        "--frames 24",
        (0.1, 0.1),
        ("*/*",),
        ("data/videos",),
    ),
    Benchmark(
        "instructions",
        "benchmarks/instructions.py --instructions SSE4_2 AVX2",
        "--worlds simple --scenes 1 --size 16",
        "",
        (0.5, 0.5),
        ("*/*",),
    ),
    Benchmark(
        "leak", "benchmarks/input.py", "--leak 200", "--leak 20000", (0.5, 1), ("growth_mib",)
    ),
    Benchmark(
        "projection",
        "benchmarks/projection.py",
        "--sizes 64x64 --seconds 0.5 --turns 1",
        "",
        (0.5, 1.5),
        ("sizes/*/decoded_over_projected", "sizes/*/projected_frames_per_second"),
    ),
    Benchmark(
        "procedural",
        "benchmarks/procedural.py",
        "--sizes 32 --repeats 2",
        "",
        (0.5, 1),
        ("*",),
        one_core=True,
    ),
    Benchmark(
        "codecs",
        "benchmarks/codecs.py",
        "--side 32 --divide 16 --frames 5 9 --repeats 1",
        "",
        (1, 2),
        tuple(
            f"{codec}_{way}_growth" for codec in ("wan21", "wan22") for way in ("encode", "decode")
        ),
        one_core=True,
    ),
    Benchmark(
        "photos",
        "benchmarks/fitting.py photos",
        f"{TINY_FIT} plain",
        f"{STATIC} 20000 --steps 2000 --ways plain relocation",
        (1, 5),
        ("*/psnr",),
        ("data/fox_photos",),
    ),
    Benchmark(
        "splat",
        "benchmarks/fitting.py splat",
        f"{TINY_FIT} plain",
        f"{STATIC} 12000 --steps 1500 --ways plain relocation",
        (1, 4),
        ("*/psnr",),
        ("data/splats/guitar.compressed.ply",),
    ),
    Benchmark(
        "fox",
        "benchmarks/fitting.py fox",
        f"{TINY_FIT} freetime",
        f"{MOVING} 6000 --height 64 --steps 1500 --ways freetime deformation static",
        (0.5, 4),
        ("*/psnr",),
        ("data/gltf/Fox.glb",),
    ),
    Benchmark(
        "walker",
        "benchmarks/fitting.py pose2sim",
        f"{TINY_FIT} freetime",
        f"{MOVING} 8000 --height 72 --steps 1000 --ways freetime deformation static",
        (0.5, 1.5),
        ("*/psnr",),
        ("data/pose2sim",),
    ),
    Benchmark(
        "ablations",
        "benchmarks/ablations.py --out OUT",
        "--groups checkpoint --scenes 2",
        "--scenes 64 --lift_scenes 4",
        (1, 60),
        result="ablations.json",
        page="ablations.md",
    ),
)
