"""`full4d VERB [CONFIG] --field.sub value`: finds the verb, loads the config, reads the options.

CONFIG is the path of a Python file with a `config`; left out, the embedded default applies. Every
config field can be overridden by its dotted name; the verb's own arguments stand beside them. Bad
input ends in one line on stderr and exit code 2, never in a traceback.
"""

import ast
import contextlib
import difflib
import importlib
import inspect
import io
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

from full4d_jax import commands
from full4d_jax.session.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    # Compiled programs are kept between runs; jax reads this when a verb imports it.
    cache = Path("~/.cache/full4d/jax").expanduser()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    try:
        _dispatch(list(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        print(f"full4d: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, e.g. `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("\nfull4d: interrupted; finished stages and checkpoints are kept", file=sys.stderr)
        return 130
    return 0


def verbs() -> list[str]:
    """Names of all verbs, the modules of `full4d_jax.commands`."""
    return [module.name for module in pkgutil.iter_modules(commands.__path__)]


def _dispatch(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if argv[0] == "--version":
        from importlib.metadata import version

        print(version("full4d-jax"))
        return
    verb, rest = argv[0].replace("-", "_"), argv[1:]
    if verb not in verbs():
        raise _unknown("command", "full4d", verb, verbs())
    module = importlib.import_module(f"full4d_jax.commands.{verb}")
    functions = _functions(module)
    if verb in functions:
        call(functions[verb], f"full4d {verb}", rest)
    elif not rest or rest[0] in ("-h", "--help"):
        docstrings = {name: inspect.getdoc(value) or "" for name, value in functions.items()}
        print(_listing(f"full4d {verb} WORD", docstrings))
    elif rest[0] not in functions:
        raise _unknown("command", f"full4d {verb}", rest[0], list(functions))
    else:
        call(functions[rest[0]], f"full4d {verb} {rest[0]}", rest[1:])


def call(function: Callable[..., Any], prog: str, argv: list[str]) -> None:
    """Load the config where the verb takes one, read the options, call the verb."""
    bound = read_options(function, prog, argv)
    if bound is not None:
        bound()


def read_options(
    function: Callable[..., Any], prog: str, argv: list[str]
) -> Callable[[], Any] | None:
    """The call of a verb that its words ask for; None after --help.

    Raises:
      InputError: there is no such config or option, or a value is of another type.
    """
    import tyro

    if "config" in inspect.signature(function).parameters:
        from full4d_jax.config import load_config

        path = argv.pop(0) if argv and not argv[0].startswith("-") else None
        config, wanted = load_config(path), get_type_hints(function)["config"]
        if not isinstance(config, wanted):
            found, expected = type(config).__name__, getattr(wanted, "__name__", wanted)
            raise InputError("config", path or "default", found, expected, "give another preset")
        function = partial(function, config=config)
    bind = _binder(function)
    said = io.StringIO()
    try:
        # Only reads the options: what the verb itself prints or raises is not caught here.
        with contextlib.redirect_stderr(said):
            bound, unknown = tyro.cli(
                bind,
                prog=f"{prog} [CONFIG]" if isinstance(function, partial) else prog,
                args=argv,
                return_unknown_args=True,
                use_underscores=True,
            )
    except SystemExit as error:
        if not error.code:
            return None  # --help
        words = " ".join(re.sub(r"[─│╭╮╰╯]+", " ", said.getvalue()).split())
        found = words.removeprefix("Value error ").split(" Argument helptext:")[0]
        found = found.split(" For full helptext")[0]
        expected = "options as in --help"
        raise InputError("option", prog, found, expected, f"see {prog} --help") from None
    if unknown:
        raise _unknown("option", prog, unknown[0], _flags(bind))
    return bound


def _binder(function: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """Return a function of the same signature that returns the call instead of making it.

    A config that was loaded says which options there are, whatever types the verb also takes.
    """
    import tyro

    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return partial(function, *args, **kwargs)

    inner, bound = function, {}
    if isinstance(function, partial):
        inner, bound = function.func, function.keywords
    vars(bind).pop("__wrapped__", None)  # of a type checker; tyro would look inside
    bind.__doc__ = inner.__doc__
    bind.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    bind.__annotations__ = inspect.get_annotations(inner)
    for name, value in bound.items():
        bind.__annotations__[name] = Annotated[type(value), tyro.conf.arg(name="")]
    return bind


def _flags(bind: Callable[..., Any]) -> list[str]:
    """All option names of a verb, from tyro's own help text."""
    import tyro

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(bind, args=["--help"], use_underscores=True)
    return sorted(set(re.findall(r"--[\w.]+", said.getvalue())))


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The public functions that a verb's module itself defines; `import_` is called import."""
    return {
        name.rstrip("_"): value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _unknown(what: str, where: str, found: str, known: Sequence[str]) -> InputError:
    close = difflib.get_close_matches(found.split("=")[0], known, n=3)
    expected = f"{' or '.join(close)}" if close else f"one of those in {where} --help"
    return InputError(what, where, found, expected, f"see {where} --help")


def _overview() -> str:
    """All verbs with the first line of their module's docstring, read without importing them."""
    lines = {}
    for name in verbs():
        source = (Path(commands.__path__[0]) / f"{name}.py").read_text()
        lines[name] = ast.get_docstring(ast.parse(source)) or ""
    text = _listing("full4d VERB [CONFIG] [--field.sub value ...]", lines)
    return f"{text}\n\nfull4d VERB --help lists the options of a verb."


def _listing(usage: str, docstrings: dict[str, str]) -> str:
    rows = [f"  {name:<10} {text.partition('.')[0]}" for name, text in docstrings.items()]
    return "\n".join([f"usage: {usage}", "", *rows])


if __name__ == "__main__":
    sys.exit(main())
