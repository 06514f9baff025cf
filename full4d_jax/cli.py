"""`full4d VERB [SOURCE] [--config PRESET] --field.sub value`: finds the verb, reads its options.

SOURCE is a path, and what lies there decides on the options. PRESET is the name of a file in
`configs/`, or a Python file with a `config`; left out, the embedded default applies. Every config
field can be overridden by its dotted name. Bad input ends in one line on stderr and exit code 2,
never in a traceback.
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
import signal
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from full4d_jax import commands
from full4d_jax.session.disk import disk_error, quiet_threads
from full4d_jax.session.errors import InputError, as_input_error
from full4d_jax.session.fields import check_whole_numbers, fields_of
from full4d_jax.session.help_text import Shown, short_help
from full4d_jax.session.machine import (
    Stopped,
    check_machine,
    machine_error,
    stop_on_signals,
    tolerate_streams,
)
from full4d_jax.session.mirror import Mirror, shown, with_local_paths
from full4d_jax.source import choice
from input_pipeline.addresses import address_of

SHORT_HELP = {"-h", "--help"}
HELP = SHORT_HELP | {"--help-all", "--help_all"}
DEBUG = "--debug"  # shows the traceback of a refusal
KEPT = "what was finished is kept, and the same command goes on from there"
# Flags of earlier versions; their values are SOURCE now.
OLD_SOURCE_FLAGS = frozenset(
    ["video", "dataset", "capture", "fixed_view", "records", "grid", "scene", "out", "source"]
)


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
    quiet_threads()
    tolerate_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    shows_origin = DEBUG in words
    try:
        with stop_on_signals():
            _dispatch([word for word in words if word != DEBUG])
    except BrokenPipeError:  # the reader of our output, e.g. `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        end = f"stopped by {error}" if isinstance(error, Stopped) else "interrupted"
        print(f"\nfull4d: {end}; {KEPT}", file=sys.stderr)
        return 128 + number
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        with contextlib.suppress(OSError):  # the disk that is full may be that of a log, too
            if shows_origin:
                traceback.print_exception(error)
            print(f"full4d: {shown(str(refusal))}", file=sys.stderr)
        return refusal.exit_code
    return 0


def _refusal(error: Exception) -> InputError | None:
    """Return an error about the input, the disk or the machine in one line; None for a bug."""
    if isinstance(error, InputError):
        return error
    known = disk_error(error) or machine_error(error)
    if known is None and isinstance(error, ValueError | OSError):
        with contextlib.suppress(ValueError, OSError):  # of another form
            known = as_input_error("file", error, "give another one")
    return known


def verbs() -> list[str]:
    """Return the names of all verbs, the modules of `full4d_jax.commands`."""
    return [module.name for module in pkgutil.iter_modules(commands.__path__)]


def _dispatch(argv: list[str]) -> None:
    """Call the function that the first words name, or print help.

    Raises:
      InputError: there is no such verb.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if argv[0] == "--version":
        from full4d_jax.session.versions import our_version

        print(our_version())
        return
    verb = argv[0].replace("-", "_")
    rest = argv[1:]
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
    with Mirror() as mirror:
        bound = read_options(function, prog, argv, mirror)
        if bound is not None:
            check_whole_numbers(bound.keywords)
            check_machine()
            with_local_paths(bound, mirror)()


class Verb(NamedTuple):
    """A verb's function, and what the words after it decide before tyro reads them.

    Attributes:
      function: the function of the verb.
      words: what tyro reads, SOURCE as an option among it.
      takes_source: whether there can be a SOURCE.
      path: SOURCE; empty where there is none.
      config: the loaded config; None where the verb takes none.
      shown: the config fields in its help; None shows all.
      candidates: the options classes that its `source` may be; empty where it takes a plain path.
      chosen: the options class that SOURCE and the flags ask for.
    """

    function: Callable[..., Any]
    words: list[str]
    takes_source: bool
    path: str
    config: Any
    shown: Shown | None
    candidates: tuple[Any, ...]
    chosen: Any


def read_options(
    function: Callable[..., Any], prog: str, argv: list[str], mirror: Mirror | None = None
) -> partial[Any] | None:
    """Return the call of a verb that its words ask for; None after --help.

    Args:
      function: the function of the verb.
      prog: the words before.
      argv: the words.
      mirror: copies SOURCE, whose content decides which options there are, if it is an address.

    Raises:
      InputError: there is no such config or option, or a value is of another type.
    """
    verb = _read_verb(function, prog, argv, mirror)
    bind = _binder(verb)
    if help_flags := HELP & set(argv):
        usage = prog + " [SOURCE]" * verb.takes_source
        usage += " [--config PRESET]" * (verb.config is not None)
        print(_help(verb, bind, usage) if help_flags & SHORT_HELP else _full_help(bind, usage))
        return None
    bound, unknown = _parse(bind, prog, verb.words)
    if not unknown:
        return bound
    if verb.takes_source and not verb.path and len(unknown) == 1 and unknown[0][:1] != "-":
        # SOURCE stands behind options; only tyro knows which words are their values.
        last = len(argv) - 1 - argv[::-1].index(unknown[0])
        words = [unknown[0], *argv[:last], *argv[last + 1 :]]
        return read_options(function, prog, words, mirror)
    raise _unknown_option(verb, bind, prog, unknown)


def _unknown_option(
    verb: Verb, bind: Callable[..., Any], prog: str, unknown: list[str]
) -> InputError:
    """Return the error for no option: of another source, of earlier versions, or misspelled."""
    if verb.chosen is not None:
        projection = verb.config.model.projection
        error = choice.foreign_option(unknown, verb.chosen, verb.candidates, verb.path, projection)
        if error is not None:
            return error
    flag, equals, value = unknown[0].partition("=")
    is_old = choice.is_flag(flag) and choice.flag_name(flag) in OLD_SOURCE_FLAGS
    if verb.takes_source and is_old:
        value = value if equals else "".join(unknown[1:2])
        advice = f"write {prog} {value or 'SOURCE'}"
        return InputError("option", flag, value, "SOURCE, which has no flag", advice)
    return _unknown("option", prog, unknown[0], _flags(verb, bind))


def _read_verb(
    function: Callable[..., Any], prog: str, argv: list[str], mirror: Mirror | None
) -> Verb:
    """Take the config and SOURCE off the words, and choose the options class of the source.

    Raises:
      InputError: there is no such config or SOURCE, or it is one of another verb; or a word is
        spelled as in earlier versions.
    """
    hints = get_type_hints(function)
    words = argv
    config = None
    shown = None
    if "config" in hints:
        marks = get_args(get_type_hints(function, include_extras=True)["config"])[1:]
        shown = next((mark for mark in marks if isinstance(mark, Shown)), None)
        config, words = _load_config(prog, argv, mirror)
    # A positional `source`, as of `convert`, is left to tyro.
    source = inspect.signature(function).parameters.get("source")
    takes_source = source is not None and source.kind is inspect.Parameter.KEYWORD_ONLY
    path = words[0] if takes_source and words and words[0][:1] != "-" else ""
    if mirror is not None and (address := address_of(path)) and not HELP & set(argv):
        path = str(mirror.readable(address))
        words = [path, *words[1:]]
    candidates = get_args(hints["source"]) if takes_source else ()
    chosen = None
    if config is not None and candidates:
        chosen = choice.choose_source(
            candidates,
            words,
            path,
            model_needs_cameras=config.model.needs_cameras,
            for_help=bool(HELP & set(argv)),
        )
    return Verb(
        function=function,
        words=["--SOURCE", *words] if path else words,
        takes_source=takes_source,
        path=path,
        config=config,
        shown=shown,
        candidates=candidates,
        chosen=chosen,
    )


def _load_config(prog: str, argv: list[str], mirror: Mirror | None) -> tuple[Any, list[str]]:
    """Return the config that `--config` names, or the default one, and the words without it.

    Raises:
      InputError: there is no such config, or a preset stands where SOURCE does.
    """
    from full4d_jax.config.presets import is_preset, load_config

    if argv and is_preset(argv[0]):
        preset = argv[0]
        advice = f"write {prog} --config {preset}"
        found = "a preset without a flag"
        raise InputError("config", preset, found, "--config before it", advice)
    reader = ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--config", nargs="?", const="")
    parsed, words = reader.parse_known_args(argv)
    preset = parsed.config
    if mirror is not None and (address := address_of(preset or "")):
        preset = str(mirror.local(address))
    return load_config(preset), words


def _binder(verb: Verb) -> Callable[..., partial[Any]]:
    """Return a function of a verb's signature that returns the call instead of making it.

    The loaded config and the chosen source decide the options; those of the config come last.
    """
    import tyro

    def bind(*args: Any, **kwargs: Any) -> partial[Any]:
        return partial(verb.function, *args, **kwargs)

    vars(bind).pop("__wrapped__", None)  # of a type checker; tyro would look inside
    signature = inspect.signature(verb.function)
    parameters = dict(signature.parameters)
    annotations = inspect.get_annotations(verb.function)
    flat = tyro.conf.arg(name="")
    if verb.config is not None:
        parameter = parameters.pop("config")
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters["config"] = parameter.replace(default=verb.config, kind=keyword)
        annotations["config"] = Annotated[type(verb.config), flat]
    if verb.chosen is not None:
        annotations["source"] = Annotated[verb.chosen, flat]
    bind.__doc__ = verb.function.__doc__
    ordered = signature.replace(parameters=list(parameters.values()))
    bind.__signature__ = ordered  # type: ignore[attr-defined]
    bind.__annotations__ = annotations
    return bind


def _parse(bind: Callable[..., Any], prog: str, argv: list[str]) -> tuple[partial[Any], list[str]]:
    """Return the call that the words ask for, and the words that are no options of it.

    Raises:
      InputError: a value is missing or of another type.
    """
    import tyro

    message = io.StringIO()
    try:
        # Only reads the options: what the verb itself prints or raises is not caught here.
        with contextlib.redirect_stderr(message):
            return tyro.cli(
                bind, prog=prog, args=argv, return_unknown_args=True, use_underscores=True
            )
    except SystemExit:
        # tyro draws a box around its message, and appends the help of the option.
        line = " ".join(re.sub(r"[─│╭╮╰╯]+", " ", message.getvalue()).split())
        line = line.removeprefix("Value error ").split(" Argument helptext:")[0]
        line = line.split(" For full helptext")[0]
        advice = f"see {prog} --help"
        raise InputError("option", prog, line, "options as in --help", advice) from None


def _help(verb: Verb, bind: Callable[..., Any], prog: str) -> str:
    """Return the short help of a verb."""
    names = [name for name, _, _ in fields_of(verb.config)] if verb.config is not None else []
    hidden = {name for name in names if verb.shown is not None and verb.shown.hides(name)}
    first = ["SOURCE"]
    other_sources = ""
    if verb.chosen is not None:
        first += choice.option_names(verb.chosen)
        other_sources = choice.other_sources(verb.chosen, verb.candidates)
    note = "\n--config takes a preset's name or its file" * bool(names)
    note += f"; --help-all lists all {len(names)} fields." * bool(hidden)
    return f"{short_help(_full_help(bind, prog), hidden, first)}\n{other_sources}{note}"


def _full_help(bind: Callable[..., Any], prog: str) -> str:
    """Return tyro's help with all options, SOURCE among them as the word that it is."""
    import tyro

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        tyro.cli(bind, prog=prog, args=["--help"], use_underscores=True)
    text = re.sub(r" \[--SOURCE \S+\]", "", output.getvalue())  # which the usage has already
    return re.sub(r"--SOURCE \S+", "SOURCE", text)


def _flags(verb: Verb, bind: Callable[..., Any]) -> list[str]:
    """Return all option names of a verb, those of its other sources included."""
    flags = {"--config", *re.findall(r"--[\w.]+", _full_help(bind, ""))}
    names = {name for options in verb.candidates for name in choice.option_names(options)}
    return sorted(flags | {f"--{name}" for name in names})


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the public functions that a verb's module itself defines; `import_` becomes import."""
    return {
        name.rstrip("_"): value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _unknown(what: str, prog: str, word: str, valid: Sequence[str]) -> InputError:
    """Return the error for an unknown word; it names valid ones of a similar spelling."""
    similar = difflib.get_close_matches(word.split("=")[0], valid, n=3)
    expected = " or ".join(similar) or f"one of those in {prog} --help"
    return InputError(what, prog, word, expected, f"see {prog} --help")


def _overview() -> str:
    """List all verbs with their module's first sentence, which is read without importing them."""
    docstrings = {}
    for name in verbs():
        source = (Path(commands.__path__[0]) / f"{name}.py").read_text()
        docstrings[name] = ast.get_docstring(ast.parse(source)) or ""
    text = _listing("full4d VERB [SOURCE] [--config PRESET] [--field.sub value ...]", docstrings)
    hints = f"full4d VERB --help lists the options of a verb; {DEBUG} tells where an error arose."
    return f"{text}\n\n{hints}"


def _listing(usage: str, docstrings: dict[str, str]) -> str:
    """List names with the first sentence of their docstrings, below a line of usage."""
    rows = [f"  {name:<10} {text.partition('.')[0]}" for name, text in docstrings.items()]
    return "\n".join([f"usage: {usage}", "", *rows])


if __name__ == "__main__":
    sys.exit(main())
