"""The report of `full4d inspect`: parameters and shardings, work, memory, communication."""

import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import AbstractMesh, AxisType, Mesh

from full4d_jax.config import Config, to_dict
from full4d_jax.models.flops import peak_flops, step_flops
from full4d_jax.models.sharding import AXES, check_mesh, dotted, make_mesh, mesh_shape, tokens_of
from full4d_jax.models.wan.text import TOKENS
from full4d_jax.session.errors import InputError
from full4d_jax.session.extras import install
from full4d_jax.training.bad_losses import skip_bad_steps
from full4d_jax.training.dry_run.collectives import collectives
from full4d_jax.training.dry_run.shapes import batch_shapes, losses_shapes, state_shapes
from full4d_jax.training.step import train_step

GIB = 2**30
MEMORY = {"TPU v5": 95.74, "TPU v5p": 95.74, "TPU v5 lite": 15.75, "TPU v6 lite": 31.25}  # GiB


def print_shapes(config: Config, devices: int) -> None:
    """Print parameters by group, and bytes of the state on each device."""
    asked = math.prod(max(1, n) for n in to_dict(config.mesh).values())
    sizes = mesh_shape(config.mesh, devices or asked)
    mesh: Any = AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))
    check_mesh(config, mesh)
    state = state_shapes(config, mesh)
    _print_model(config, mesh, state)


def print_compiled(
    config: Config, topology: str, slices: int, efficiency: float, *, largest: bool
) -> None:
    """Compile the step for TPU slices; print its memory, communication and estimated time.

    Raises:
      InputError: libtpu is missing, the topology is unknown, or the mesh does not fit it.
    """
    devices = _devices(topology, slices)
    mesh = make_mesh(config.mesh, devices)
    if config.model.precision == "auto":
        config = replace(config, model=replace(config.model, precision="bfloat16"))
    check_mesh(config, mesh)
    _print_model(config, mesh, state_shapes(config, mesh))
    kind, memory = devices[0].device_kind, MEMORY.get(devices[0].device_kind)
    peak = peak_flops(kind)
    if peak:
        seconds = _flops(config) / len(devices) / peak / efficiency
        share = f"{efficiency:.0%} of {peak / 1e12:.0f} TFLOP/s"
        print(f"  step                {seconds:.2f} s if every device works at {share} (assumed)")
    print(f"compiling the step on encoded clips for {len(devices)} x {kind} ...", flush=True)
    needed = _compile(config, mesh, report=True)
    words = _verdict(needed, memory) if memory else f"memory of {kind} is not known here"
    print(f"  fits                {words}")
    if largest and memory:
        _find_largest(config, mesh, needed, memory)


def _print_model(config: Config, mesh: Mesh | AbstractMesh, state: Any) -> None:
    flat = jax.tree.leaves_with_path(state.params)
    total = sum(math.prod(x.shape) for _, x in flat)
    cut = {name: n for name, n in mesh.shape.items() if n > 1}
    frames, tokens = tokens_of(config)
    print(f"{config.name}: {total:,} parameters, mesh {cut or 'of one device'}")
    print(f"  tokens of a sample  {frames * tokens:,} = {frames} frames of {tokens}")
    print(f"  samples of a step   {config.training.batch}, {_per_device(config, mesh)} on a device")
    print(f"  work of a step      {_flops(config) / 1e15:.4g} PFLOP (formula, no recomputation)")
    groups: Counter[str] = Counter()
    largest: dict[str, Any] = {}
    for path, x in flat:
        name = dotted(path)
        group = ".".join(name.split(".")[:2]) if name.startswith("blocks.") else name.split(".")[0]
        groups[group] += math.prod(x.shape)
        if math.prod(x.shape) > math.prod(getattr(largest.get(group), "shape", (0,))):
            largest[group] = x
    for group, count in groups.most_common():
        x = largest[group]
        shape = "x".join(map(str, x.shape))
        print(f"    {group:24} {count:>16,}  {shape:>18} sharded {tuple(x.sharding.spec)}")
    cuts = [(math.prod(x.sharding.shard_shape(x.shape)), x.dtype) for x in _arrays(state)]
    size = sum(count * dtype.itemsize for count, dtype in cuts)
    print(f"  state on a device   {size / GIB:.3f} GiB: parameters, average, optimizer")


def _flops(config: Config) -> float:
    """Return the work of a step with prompts, which the compiled step has too."""
    return step_flops(config, TOKENS if config.model.text_width else None)


def _arrays(tree: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if hasattr(x, "sharding")]


def _per_device(config: Config, mesh: Mesh | AbstractMesh) -> int:
    return config.training.batch // (mesh.shape["data"] * mesh.shape["fsdp"])


def _compile(config: Config, mesh: Mesh, *, report: bool) -> float:
    """Return the GiB that the step needs on each device; infinite if it does not compile."""
    inputs = state_shapes(config, mesh), losses_shapes(mesh), batch_shapes(config, mesh)
    step = skip_bad_steps(train_step(config), config.training.spike)  # as in `training.loop`
    start = time.perf_counter()
    with jax.set_mesh(mesh):
        lowered = jax.jit(step, donate_argnums=(0, 1)).lower(*inputs)
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            print("  does not compile   ", " ".join(str(error).split())[:300])
            return math.inf
    plan: Any = compiled.memory_analysis()
    parts = {
        name: getattr(plan, f"{name}_size_in_bytes") / GIB
        for name in ("argument", "output", "alias", "temp")
    }
    total = parts["argument"] + parts["output"] - parts["alias"] + parts["temp"]
    if report:
        words = ", ".join(f"{name} {size:.2f}" for name, size in parts.items())
        print(f"  memory of a device  {total:.2f} GiB ({words})")
        print(f"  compiled in         {time.perf_counter() - start:.0f} s")
        for kind, traffic in collectives(compiled.as_text() or "").items():
            print(f"    {kind:18} {traffic.count:6} x, {traffic.bytes / GIB:9.2f} GiB a device")
    return total


def _verdict(needed: float, memory: float) -> str:
    return f"{'yes' if needed < memory else 'NO'}: {needed:.2f} of {memory} GiB"


def _find_largest(config: Config, mesh: Mesh, needed: float, memory: float) -> None:
    """Double the batch once, extrapolate, and compile the extrapolated batch."""
    samples = _per_device(config, mesh)

    def compiled(count: int) -> float:
        batch = config.training.batch // samples * count
        wanted = replace(config, training=replace(config.training, batch=batch))
        total = _compile(wanted, mesh, report=False)
        print(f"  {count:3} samples         {_verdict(total, memory)} (batch {batch})", flush=True)
        return total

    slope = (compiled(2 * samples) - needed) / samples
    if not math.isfinite(slope):
        return
    most = samples + int((memory - needed) / slope)
    while most > 2 * samples and compiled(most) > memory:
        most -= 1


def _devices(topology: str, slices: int) -> list[Any]:
    """Return the devices of equal TPU slices, which need not exist."""
    do = f"install it: {install('libtpu')}"
    try:
        import libtpu  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError("extra", "tpu", error, "libtpu, the compiler for TPU", do) from None
    try:
        found = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, num_slices=slices
        )
    except Exception as error:
        expected = "a TPU slice, e.g. v5p:4x4x8, v6e:8x8 or v5e:4x4"
        found = " ".join(str(error).split())[:200]
        raise InputError("option", "--topology", f"{topology} ({found})", expected, "") from None
    return list(found.devices)
