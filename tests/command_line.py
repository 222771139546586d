"""The command `zoo` in this process, for tests of what it prints."""

from click.testing import CliRunner

from zoo.commands import main


def run(*arguments, code=0):
    """The result of a command, which must end with an exit code."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.stderr
    return result


def refused(*arguments):
    """The one line that a command prints for bad input."""
    result = run(*arguments, code=2)
    assert result.stdout == "" and result.stderr.count("\n") == 1, result.stderr
    return result.stderr
