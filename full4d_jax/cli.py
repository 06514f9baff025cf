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
      source_field: the option that SOURCE is for tyro; empty where it has none.
      config: the loaded config; None where the verb takes none.
      ways: the ways in that its `source` may be; empty where it takes none.
      way: the way in that SOURCE and the given flags ask for.
      shown: the config fields in its help; None shows all.
    """

    function: Callable[..., Any]
    words: list[str]
    takes_source: bool
    source: str = ""
    source_field: str = ""
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
        print(_help(verb, bind, usage) if asked & SHORT_HELP else _full_help(verb, bind, usage))
        return None
    bound, unknown = _parse(bind, prog, verb.words)
    if not unknown:
        return bound
    if verb.takes_source and not verb.source and len(unknown) == 1 and unknown[0][0] != "-":
        # SOURCE stands behind options; until now nobody knew which words are their values.
        last = len(argv) - 1 - argv[::-1].index(unknown[0])
        return read_options(function, prog, [unknown[0], *argv[:last], *argv[last + 1 :]])
    raise _foreign(verb, unknown) or _unknown("option", prog, unknown[0], _flags(verb, bind))


def _decide(function: Callable[..., Any], prog: str, argv: list[str]) -> Verb:
    """Take the config and SOURCE off the words, and choose the way in that the words ask for.

    Raises:
      InputError: there is no such config or SOURCE, or it is one of another verb; or a word is
        spelled as in earlier versions.
    """
    hints = get_type_hints(function, include_extras=True)
    parameter = inspect.signature(function).parameters.get("source")
    # A positional `source`, as of `convert`, is left to tyro.
    takes_source = parameter is not None and parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ways, words = get_args(get_type_hints(function).get("source")), argv
    ways = tuple(way for way in ways if hasattr(way, "kinds"))
    config, shown = None, None
    if "config" in hints:
        config, words = _load_config(function, prog, argv)
        marks = getattr(hints["config"], "__metadata__", ())
        shown = next((mark for mark in marks if isinstance(mark, Shown)), None)
    if not takes_source:
        return Verb(function, words, takes_source, config=config, shown=shown)
    from full4d_jax.source import ways as ways_in

    own = {*hints, *(name for way in ways for name in ways_in.names(way))} - {"source"}
    for flag, value in zip(words, [*words[1:], ""], strict=False):
        name, value = ways_in.flag_name(flag), flag.partition("=")[2] or value
        if ways_in.is_flag(flag) and name in BEFORE - own:
            do = f"write {prog} {value or 'SOURCE'}"
            raise InputError("option", f"--{name}", value, "SOURCE, which has no flag", do)
    source = words[0] if words and words[0][:1] != "-" else ""
    way, field = None, "source"
    if ways:
        posed, asked = config.model.projection != "none", bool(HELP & set(words))
        way = ways_in.chosen_way(ways, words, source, posed=posed, shown=asked)
        field = ways_in.source_field(way)
    if source:
        words = [f"--{field}", *words]
    return Verb(function, words, takes_source, source, field, config, ways, way, shown)


def _load_config(function: Callable[..., Any], prog: str, argv: list[str]) -> tuple[Any, list[str]]:
    """Return the config that `--config` names, or the default one, and the words without it.

    Raises:
      InputError: there is no such config, or it is one of another verb; or a preset stands where
        SOURCE does.
    """
    from full4d_jax.config.presets import is_preset, load_config

    if argv and is_preset(argv[0]):
        found, expected = "a preset without a flag", "--config before it"
        raise InputError("config", argv[0], found, expected, f"write {prog} --config {argv[0]}")
    name, words = None, argv
    for at, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag == "--config":
            after = argv[at + 1 :]
            name = value if equals else "".join(after[:1])
            words = argv[:at] + (after if equals else after[1:])
            break
    config: Any = load_config(name)
    wanted = get_type_hints(function)["config"]
    if not isinstance(config, wanted):
        found, expected = type(config).__name__, getattr(wanted, "__name__", wanted)
        raise InputError("config", name or "default", found, expected, "give another preset")
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


def _foreign(verb: Verb, unknown: list[str]) -> InputError | None:
    """Return the error for an option of another way in than the chosen one; None for others."""
    if verb.way is None:
        return None
    from full4d_jax.source.ways import foreign_option

    projection = verb.config.model.projection
    return foreign_option(unknown, verb.way, verb.ways, verb.source, projection)


def _help(verb: Verb, bind: Callable[..., Any], prog: str) -> str:
    """Return the short help of a verb."""
    names = [name for name, _, _ in fields_of(verb.config)] if verb.config is not None else []
    hidden = {name for name in names if verb.shown is not None and verb.shown.hides(name)}
    more = "\n--config takes a preset's name or its file" * bool(names)
    more += f"; --help-all lists all {len(names)} fields." * bool(hidden)
    own, others = _ways(verb)
    return f"{short_help(_full_help(verb, bind, prog), hidden, ['SOURCE', *own])}\n{others}{more}"


def _full_help(verb: Verb, bind: Callable[..., Any], prog: str) -> str:
    """Return tyro's help with all options, SOURCE among them as the word that it is."""
    import tyro

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        tyro.cli(bind, prog=prog, args=["--help"], use_underscores=True)
    flag = rf"--{verb.source_field} (?:\{{None\}}\|)?PATH\b"
    return re.sub(flag, "SOURCE", re.sub(rf" \[{flag}\]", "", said.getvalue()))


def _ways(verb: Verb) -> tuple[list[str], str]:
    """Return the options of the chosen way in, and the lines of help on the other ways."""
    if verb.way is None:
        return [], ""
    from full4d_jax.source.ways import names, other_ways

    return names(verb.way), other_ways(verb.way, verb.ways)


def _flags(verb: Verb, bind: Callable[..., Any]) -> list[str]:
    """Return all option names of a verb, those of its other ways in included."""
    flags = {"--config", *re.findall(r"--[\w.]+", _full_help(verb, bind, ""))}
    if verb.ways:
        from full4d_jax.source.ways import names

        flags |= {f"--{name}" for way in verb.ways for name in names(way)}
    return sorted(flags)


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
