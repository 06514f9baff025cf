"""The line that a command with bad input prints."""

from full4d_jax.cli import main


def refusal(capsys, *argv: object) -> str:
    """Its one line on stderr."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    said = capsys.readouterr().err
    assert said.startswith("full4d: ")
    assert said.count("\n") == 1, said
    assert "found" in said
    assert "expected" in said
    return said
