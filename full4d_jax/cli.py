"""`full4d VERB [SOURCE] [--config PRESET] --field.sub value`: finds the verb, reads its options.

SOURCE is a path, and what lies there tells which options there are. PRESET is the name of a file in
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
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

from full4d_jax import commands
from full4d_jax.session.disk import disk_error, quiet_threads
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import fields_of
from full4d_jax.session.help_text import Shown, short_help
from full4d_jax.source import ways

SHORT_HELP = {"-h", "--help"}
HELP = SHORT_HELP | {"--help-all", "--help_all"}
# Flags of earlier versions, whose values SOURCE is now.
BEFORE = {"video", "dataset", "capture", "fixed_view", "records", "grid", "scene", "out", "source"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 is done, 2 is bad input, 130 is interrupted."""
    # Compiled programs are kept between runs; jax reads this when a verb imports it.
    cache = Path("~/.cache/full4d/jax").expanduser()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    quiet_threads()
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
    except Exception as error:
        if (told := disk_error(error)) is None:
            raise
        print(f"full4d: {told}", file=sys.stderr)
        return 2
    return 0


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


class Verb(NamedTuple):
    """A verb's function, and what the first words after it decide.

    Attributes:
      function: the function of the verb.
      words: what tyro reads, SOURCE as an option among it.
      takes_source: whether there can be a SOURCE.
      source: that path; empty where none is given.
      config: the loaded config; None where the verb takes none.
      ways: the ways in that its `source` may be; empty where it takes none.
      way: the way in that SOURCE and the given flags ask for.
      shown: the config fields in its help; None shows all.
    """

    function: Callable[..., Any]
    words: list[str]
    takes_source: bool = False
    source: str = ""
    config: Any = None
    ways: tuple[Any, ...] = ()
    way: Any = None
    shown: Shown | None = None


def read_options(
    function: Callable[..., Any], prog: str, argv: list[str]
) -> Callable[[], Any] | None:
    """Return the call of a verb that its words ask for; None after --help.

    Raises:
      InputError: there is no such config or option, or a value is of another type.
    """
    verb = _decide(function, prog, argv)
    bind = _binder(verb)
    if asked := HELP & set(argv):
        usage = prog + " [SOURCE]" * verb.takes_source
        usage += " [--config PRESET]" * (verb.config is not None)
        print(_help(verb, bind, usage) if asked & SHORT_HELP else _full_help(bind, usage))
        return None
    bound, unknown = _parse(bind, prog, verb.words)
    if not unknown:
        return bound
    if verb.takes_source and not verb.source and len(unknown) == 1 and unknown[0][:1] != "-":
        # SOURCE stands behind options; until now nobody knew which words are their values.
        last = len(argv) - 1 - argv[::-1].index(unknown[0])
        return read_options(function, prog, [unknown[0], *argv[:last], *argv[last + 1 :]])
    raise _unknown_option(verb, bind, prog, unknown)


def _unknown_option(
    verb: Verb, bind: Callable[..., Any], prog: str, unknown: list[str]
) -> InputError:
    """Return the error for no option: of another source, of earlier versions, or misspelled."""
    if verb.way is not None:
        projection = verb.config.model.projection
        foreign = ways.foreign_option(unknown, verb.way, verb.ways, verb.source, projection)
        if foreign is not None:
            return foreign
    flag, equals, value = unknown[0].partition("=")
    if verb.takes_source and ways.is_flag(flag) and ways.flag_name(flag) in BEFORE:
        value = value if equals else "".join(unknown[1:2])
        do = f"write {prog} {value or 'SOURCE'}"
        return InputError("option", flag, value, "SOURCE, which has no flag", do)
    return _unknown("option", prog, unknown[0], _flags(verb, bind))


def _decide(function: Callable[..., Any], prog: str, argv: list[str]) -> Verb:
    """Take the config and SOURCE off the words, and choose the way in that the words ask for.

    Raises:
      InputError: there is no such config or SOURCE, or it is one of another verb; or a word is
        spelled as in earlier versions.
    """
    hints = get_type_hints(function, include_extras=True)
    verb = Verb(function, words=argv)
    if "config" in hints:
        marks = getattr(hints["config"], "__metadata__", ())
        shown = next((mark for mark in marks if isinstance(mark, Shown)), None)
        config, words = _load_config(get_type_hints(function)["config"], prog, argv)
        verb = verb._replace(words=words, config=config, shown=shown)
    source = inspect.signature(function).parameters.get("source")
    # A positional `source`, as of `convert`, is left to tyro.
    if source is None or source.kind is not inspect.Parameter.KEYWORD_ONLY:
        return verb
    choices = get_args(get_type_hints(function)["source"])
    path = verb.words[0] if verb.words and verb.words[0][:1] != "-" else ""
    way = None
    if choices:
        posed = verb.config.model.projection != "none"
        asks_for_help = bool(HELP & set(argv))
        way = ways.chosen_way(choices, verb.words, path, posed=posed, shown=asks_for_help)
    words = ["--SOURCE", *verb.words] if path else verb.words
    return verb._replace(words=words, takes_source=True, source=path, ways=choices, way=way)


def _load_config(wanted: Any, prog: str, argv: list[str]) -> tuple[Any, list[str]]:
    """Return the config that `--config` names, or the default one, and the words without it.

    Raises:
      InputError: there is no such config, or it is one of another verb; or a preset stands where
        SOURCE does.
    """
    from full4d_jax.config.presets import is_preset, load_config

    if argv and is_preset(argv[0]):
        raise InputError(
            "config",
            argv[0],
            "a preset without a flag",
            "--config before it",
            f"write {prog} --config {argv[0]}",
        )
    reader = ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--config", nargs="?", const="")
    parsed, words = reader.parse_known_args(argv)
    config: Any = load_config(parsed.config, wanted)
    return config, words


def _binder(verb: Verb) -> Callable[..., Callable[[], Any]]:
    """Return a function of a verb's signature that returns the call instead of making it.

    The loaded config and the chosen way in say which options there are; the config's come last.
    """
    import tyro

    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return partial(verb.function, *args, **kwargs)

    vars(bind).pop("__wrapped__", None)  # of a type checker; tyro would look inside
    signature, kinds = inspect.signature(verb.function), inspect.get_annotations(verb.function)
    parameters = dict(signature.parameters)
    if verb.config is not None:
        last = parameters.pop("config")
        only = inspect.Parameter.KEYWORD_ONLY
        parameters["config"] = last.replace(default=verb.config, kind=only)
        kinds["config"] = Annotated[type(verb.config), tyro.conf.arg(name="")]
    if verb.way is not None:
        kinds["source"] = Annotated[verb.way, tyro.conf.arg(name="")]
    bind.__doc__ = verb.function.__doc__
    ordered = signature.replace(parameters=list(parameters.values()))
    bind.__signature__ = ordered  # type: ignore[attr-defined]
    bind.__annotations__ = kinds
    return bind


def _parse(
    bind: Callable[..., Any], prog: str, argv: list[str]
) -> tuple[Callable[[], Any], list[str]]:
    """Return the call that the words ask for, and the words that are no options of it.

    Raises:
      InputError: a value is missing or of another type.
    """
    import tyro

    said, read = io.StringIO(), partial(tyro.cli, bind, prog=prog, args=argv)
    try:
        # Only reads the options: what the verb itself prints or raises is not caught here.
        with contextlib.redirect_stderr(said):
            return read(return_unknown_args=True, use_underscores=True)
    except SystemExit:
        words = " ".join(re.sub(r"[─│╭╮╰╯]+", " ", said.getvalue()).split())
        found = words.removeprefix("Value error ").split(" Argument helptext:")[0]
        found = found.split(" For full helptext")[0]
        expected = "options as in --help"
        raise InputError("option", prog, found, expected, f"see {prog} --help") from None


def _help(verb: Verb, bind: Callable[..., Any], prog: str) -> str:
    """Return the short help of a verb."""
    names = [name for name, _, _ in fields_of(verb.config)] if verb.config is not None else []
    hidden = {name for name in names if verb.shown is not None and verb.shown.hides(name)}
    more = "\n--config takes a preset's name or its file" * bool(names)
    more += f"; --help-all lists all {len(names)} fields." * bool(hidden)
    first = ["SOURCE", *ways.names(verb.way)] if verb.ways else ["SOURCE"]
    others = ways.other_ways(verb.way, verb.ways) if verb.ways else ""
    return f"{short_help(_full_help(bind, prog), hidden, first)}\n{others}{more}"


def _full_help(bind: Callable[..., Any], prog: str) -> str:
    """Return tyro's help with all options, SOURCE among them as the word that it is."""
    import tyro

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(bind, prog=prog, args=["--help"], use_underscores=True)
    text = re.sub(r" \[--SOURCE \S+\]", "", said.getvalue())  # which the usage has already
    return re.sub(r"--SOURCE \S+", "SOURCE", text)


def _flags(verb: Verb, bind: Callable[..., Any]) -> list[str]:
    """Return all option names of a verb, those of its other ways in included."""
    flags = {"--config", *re.findall(r"--[\w.]+", _full_help(bind, ""))}
    return sorted(flags | {f"--{name}" for way in verb.ways for name in ways.names(way)})


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the public functions that a verb's module itself defines; `import_` becomes import."""
    return {
        name.rstrip("_"): value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _unknown(what: str, where: str, found: str, known: Sequence[str]) -> InputError:
    """Return the error for a word that is not known; it names those that are spelled alike."""
    close = difflib.get_close_matches(found.split("=")[0], known, n=3)
    expected = f"{' or '.join(close)}" if close else f"one of those in {where} --help"
    return InputError(what, where, found, expected, f"see {where} --help")


def _overview() -> str:
    """List all verbs with their module's first sentence, which is read without importing them."""
    lines = {}
    for name in verbs():
        source = (Path(commands.__path__[0]) / f"{name}.py").read_text()
        lines[name] = ast.get_docstring(ast.parse(source)) or ""
    text = _listing("full4d VERB [SOURCE] [--config PRESET] [--field.sub value ...]", lines)
    return f"{text}\n\nfull4d VERB --help lists the options of a verb."


def _listing(usage: str, docstrings: dict[str, str]) -> str:
    """List names with the first sentence of their docstrings, below a line of usage."""
    rows = [f"  {name:<10} {text.partition('.')[0]}" for name, text in docstrings.items()]
    return "\n".join([f"usage: {usage}", "", *rows])


if __name__ == "__main__":
    sys.exit(main())
