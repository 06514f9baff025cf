"""Command line `full4d VERB [SOURCE] [--config PRESET] --field.sub value`.

SOURCE is a path, and what lies there decides on the options. PRESET is the name of a file in
`configs/`, or a Python file with a `config`; by default it is the one in the package. Every config
field can be overridden by its dotted name. tyro reads the words and prints help. Bad input ends in
a message on stderr and exit code 2, never in a traceback.
"""

import ast
import contextlib
import dataclasses
import difflib
import importlib
import inspect
import os
import pkgutil
import shlex
import signal
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from full4d_jax import commands
from full4d_jax.session import errors, machine
from full4d_jax.session.buckets import Copies, shown, with_copies
from full4d_jax.session.fields import Shown, check_fields
from input_pipeline.addresses import address_of

HELP = {"-h", "--help"}
# Help with all fields of the config.
HELP_ALL = {"--help-all", "--help_all"}
# Asks for the traceback of a refusal.
DEBUG = "--debug"
KEPT = "finished work is kept; run the same command again to resume"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code.

    0 is done, 2 is bad input, 130 is interrupted, 128 + n is stopped by signal n; a training that
    such a signal made save ends with 75, as a process does whose peers are gone: start them again.
    """
    # Compiled programs are kept between runs, the many small ones too; jax reads this when a verb
    # imports it.
    cache = Path("~/.cache/full4d/jax").expanduser()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # All verbs compute in 32 bits, whatever the shell sets for other programs of jax.
    os.environ["JAX_ENABLE_X64"] = "0"
    os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "standard"
    # Where a disk was full, or a process was killed, jax leaves programs that are empty, and never
    # writes them again.
    for program in cache.glob("*-cache"):
        with contextlib.suppress(OSError):
            if not program.stat().st_size:
                program.unlink()
    machine.quiet_threads()
    machine.tolerate_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    shows_origin = DEBUG in words
    try:
        with machine.stop_on_signals():
            _dispatch([word for word in words if word != DEBUG])
    except (
        SystemExit
    ) as ended:  # tyro printed help or what is wrong, or a training was saved
        return int(ended.code or 0)
    except BrokenPipeError:  # the reader of our output, e.g. `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, machine.Stopped) else None
        number = stopped.number if stopped else signal.SIGINT
        end = f"stopped by {stopped}" if stopped else "interrupted"
        # The one verb that makes no files.
        kept = "" if words[:1] == ["view"] else f"; {KEPT}"
        print(f"\nfull4d: {end}{kept}", file=sys.stderr)
        return 128 + number
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        # The disk that is full may be that of a log, too.
        with contextlib.suppress(OSError):
            if shows_origin:
                traceback.print_exception(error)
            print(f"full4d: {shown(str(refusal))}", file=sys.stderr)
        return refusal.exit_code
    return 0


def _refusal(error: Exception) -> errors.InputError | None:
    """Return an error about the input, the disk or the machine in one line; None for a bug."""
    if isinstance(error, errors.InputError):
        return error
    known = machine.disk_error(error) or machine.machine_error(error)
    if known is None and isinstance(error, ValueError | OSError):
        # Errors of another form are bugs.
        with contextlib.suppress(ValueError, OSError):
            return errors.as_input_error("file", error, "give another one")
    return known


def verbs() -> list[str]:
    """Return the names of all verbs, the modules of `full4d_jax.commands`."""
    return [module.name for module in pkgutil.iter_modules(commands.__path__)]


def functions_of(verb: str) -> dict[str, Callable[..., Any]]:
    """Return the functions of a verb by the words that name them; `import_` becomes import."""
    module = importlib.import_module(f"full4d_jax.commands.{verb}")
    return {
        name.rstrip("_"): value
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and not name.startswith("_")
    }


def _dispatch(words: list[str]) -> None:
    """Call the function that the first words name, or print help.

    Raises:
      InputError: there is no such verb.
    """
    if not words or words[0] in (*HELP, "help"):
        usage = "full4d VERB [SOURCE] [--config PRESET] [--field.sub value ...]"
        _print_listing(usage, {verb: _docstring(verb) for verb in verbs()})
        print(f"\nfull4d VERB --help lists the options; {DEBUG} locates an error.")
        return
    if words[0] == "--version":
        from full4d_jax.session.versions import our_version

        print(our_version())
        return
    verb, *rest = words
    verb = verb.replace("-", "_")
    _require_word(verb, verbs(), "full4d")
    functions = functions_of(verb)
    if verb in functions:
        call(functions[verb], f"full4d {verb}", rest)
    elif not rest or rest[0] in HELP:
        documented = {word: inspect.getdoc(x) for word, x in functions.items()}
        _print_listing(f"full4d {verb} WORD", documented)
    else:
        _require_word(rest[0], functions, f"full4d {verb}")
        call(functions[rest[0]], f"full4d {verb} {rest[0]}", rest[1:])


def _require_word(word: str, known: Sequence[str] | dict[str, Any], prog: str) -> None:
    """Refuse a word that is no command, and name those of a similar spelling."""
    if word not in known:
        similar = difflib.get_close_matches(word, list(known), n=3) or list(known)
        expected = " or ".join(similar)
        raise errors.InputError("command", prog, word, expected, f"see {prog} --help")


def _docstring(verb: str) -> str | None:
    """Return the docstring of a verb's module, which takes long to import."""
    source = Path(commands.__path__[0], f"{verb}.py").read_text()
    return ast.get_docstring(ast.parse(source))


def _print_listing(usage: str, docstrings: dict[str, str | None]) -> None:
    """List names with the first line of their docstrings, below a line of usage."""
    print(f"usage: {usage}\n")
    for name, text in docstrings.items():
        first = (text or "").partition("\n")[0]
        print(f"  {name:<10} {first.rstrip('.')}")


def call(function: Callable[..., Any], prog: str, words: list[str]) -> None:
    """Read the words of a verb, print them, and call it.

    Raises:
      InputError: there is no such config or SOURCE, or an option is out of bounds.
      SystemExit: tyro printed help or why it cannot read the words.
    """
    with Copies() as copies:
        # What lies at an address decides on the options, so that it is copied first.
        address = address_of(words[0]) if words else ""
        if address and not HELP.intersection(words):
            words = [str(copies.readable(address)), *words[1:]]
        bound = read_options(function, prog, words)
        hints = get_type_hints(function, include_extras=True)
        for name, given in bound.keywords.items():
            # A config has its own check.
            if name != "config":
                check_fields(given, hints[name], name)
        # What follows may import for seconds before it has something to say.
        errors.log(f"{shlex.join([*prog.split(), *words])} ...")
        machine.check_machine()
        with_copies(bound, copies)()


def read_options(
    function: Callable[..., Any], prog: str, words: Sequence[str]
) -> partial[Any]:
    """Return the call of a verb with the options that its words give.

    Args:
      function: the function of the verb.
      prog: the words before.
      words: the words.

    Raises:
      InputError: there is no such config or SOURCE, or it is one of another verb.
      SystemExit: tyro printed help or why it cannot read the words.
    """
    from full4d_jax.source.kinds import choose_source

    hints = get_type_hints(function)
    config, rest = _load_config(prog, words) if "config" in hints else (None, words)
    # A source of several kinds is a union of dataclasses of options.
    candidates = get_args(hints.get("source"))
    if not candidates:
        return _parse(function, prog, rest, config, None)
    path = rest[0] if rest and rest[0][:1] != "-" else ""
    chosen = choose_source(candidates, path, rest, config)
    bound = _parse(function, prog, rest, config, chosen)
    behind_options = bound.keywords["source"].given_path
    if path or behind_options is None:
        return bound
    chosen = choose_source(candidates, str(behind_options), rest, config)
    return _parse(function, prog, rest, config, chosen)


def _load_config(prog: str, words: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the config that `--config` names, or the default one, and the words without it.

    Raises:
      InputError: there is no such config.
      SystemExit: nothing follows `--config`.
    """
    from full4d_jax.config.presets import load_config

    reader = ArgumentParser(prog, add_help=False, allow_abbrev=False)
    reader.add_argument("--config")
    parsed, rest = reader.parse_known_args(words)
    return load_config(parsed.config), rest


def _parse(
    function: Callable[..., Any],
    prog: str,
    words: Sequence[str],
    config: Any,
    source: Any,
) -> partial[Any]:
    """Return the call of a verb with the options that its words give, or print help.

    Args:
      function: the function of the verb.
      prog: the words before.
      words: the words, without `--config`.
      config: the values of config fields that no word gives; None for a verb that takes none.
      source: the options class of SOURCE; None for a verb that takes none.

    Raises:
      InputError: the value of an option cannot be read.
      SystemExit: tyro printed help or why it cannot read the words.
    """
    import tyro

    def bind(*args: Any, **kwargs: Any) -> partial[Any]:
        return partial(function, *args, **kwargs)

    # A type checker wraps it, and tyro would look inside.
    vars(bind).pop("__wrapped__", None)
    annotations = inspect.get_annotations(function)
    parameters = dict(inspect.signature(function).parameters)
    flat = tyro.conf.arg(name="")
    about = (inspect.getdoc(function) or "").partition("Args:")[0].strip()
    if source is not None:
        annotations["source"] = Annotated[source, flat]
    if config is not None:
        about += "\n--config NAME or FILE.py gives all fields of the config"
        if HELP.intersection(words):
            config = _hide_fields(config, get_args(annotations["config"])[-1])
            about += "; --help-all lists them"
        # Its options come last.
        annotations["config"] = Annotated[type(config), flat]
        own = parameters.pop("config")
        parameters["config"] = own.replace(default=config, kind=own.KEYWORD_ONLY)
    signature = inspect.Signature(list(parameters.values()))
    bind.__doc__ = function.__doc__
    bind.__signature__ = signature  # type: ignore[attr-defined]
    bind.__annotations__ = annotations
    args = ["--help" if word in HELP_ALL else word for word in words]
    with tyro._errors.on_parse_error(partial(_refuse_value, prog, args)):
        return tyro.cli(
            bind,
            prog=prog,
            description=about,
            args=args,
            use_underscores=True,
            config=(tyro.conf.PositionalMetavarFromFieldName,),
        )


def _refuse_value(prog: str, words: Sequence[str], event: Any) -> None:
    """Refuse the value of an option that tyro cannot read; all else it says itself.

    Raises:
      InputError: the message names the option, its value and what it takes.
    """
    argument = getattr(event, "argument", None)
    if argument is None or argument.is_positional():
        return
    *_, kind = argument.lowered.metavar.split("|")
    kinds = {"INT": "a whole number", "FLOAT": "a number"}
    expected = " or ".join(getattr(event, "choices", ())) or kinds.get(kind, kind)
    names = argument.lowered.name_or_flags
    value = _value_of(names, words)
    raise errors.InputError("option", names[0], value, expected, f"see {prog} --help")


def _value_of(names: Sequence[str], words: Sequence[str]) -> str:
    """Return the word that follows an option of several names, or "no value"."""
    for word, following in pairwise([*words, "--"]):
        name, _, value = word.partition("=")
        if name.replace("-", "_") in {x.replace("-", "_") for x in names}:
            return value or ("no value" if following.startswith("--") else following)
    return "no value"


def _hide_fields(values: Any, shown: Shown, prefix: str = "") -> Any:
    """Return the same dataclass with all but the shown fields hidden from tyro's help."""
    import tyro

    fields = []
    for field in dataclasses.fields(values):
        name = prefix + field.name
        value = getattr(values, field.name)
        if name in shown.names:
            continue
        if any(other.startswith(f"{name}.") for other in shown.names):
            value = _hide_fields(value, shown, f"{name}.")
            kind: Any = type(value)
        else:
            kind = tyro.conf.Suppress[field.type]
        fields.append((field.name, kind, dataclasses.field(default=value)))
    kind = type(values)
    space = {"__doc__": kind.__doc__}
    part = dataclasses.make_dataclass(
        kind.__name__, fields, bases=(kind,), namespace=space, frozen=True
    )
    return part(**{name: x for name, x in vars(values).items() if name in shown.names})


if __name__ == "__main__":
    sys.exit(main())
