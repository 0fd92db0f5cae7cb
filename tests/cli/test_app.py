"""The list of commands: what is in it, and what it takes to show it."""

from __future__ import annotations

import subprocess
import sys

from cka_plugin.cli.app import FILES


def test_help_and_version_come_without_torch() -> None:
    script = (
        "import sys\nfrom cka_plugin.cli.main import main\nsys.argv = ['cka-plugin', sys.argv[1]]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    for asked in ("--help", "--version"):
        subprocess.run([sys.executable, "-c", script, asked], check=True, capture_output=True)


def test_every_command_of_the_help_is_there_and_says_what_it_is_for(command) -> None:
    code, listed, _ = command("--help")
    assert code == 0
    for name in FILES:
        code, shown, _ = command(name, "--help")
        assert code == 0
        first = shown.split("\n\n")[1].split()
        assert " ".join(first[:6]) in " ".join(listed.split())


def test_an_unknown_command_is_an_error(command) -> None:
    code, _, said = command("nothing")
    assert code == 2
    assert "No such command 'nothing'" in said
