"""`kubectl_complete-hostnetwork`: what the shell may put in place of the last word, for kubectl's own completion.

kubectl calls this program with the words that a person has typed, the last one possibly empty, and reads one choice a
line, `value<TAB>help`, then a directive (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
"""

import sys

from click.shell_completion import ShellComplete

from hostnetwork_operator.cli import main as commands

# Directives of cobra: nothing; no files; no files and no space, because a name follows the slash.
_FILES, _NO_FILES, _NO_SPACE = ":0", ":4", ":6"


def main() -> None:
    """Print the choices for the words on the command line. Never fail: a person is typing."""
    words = sys.argv[1:] or [""]
    found = ShellComplete(commands.root, {}, "kubectl hostnetwork", "_HOSTNETWORK_COMPLETE").get_completions(
        words[:-1], words[-1]
    )
    plain = [item for item in found if item.type == "plain"]
    for item in plain:
        print(item.value + (f"\t{item.help}" if item.help else ""))
    if len(plain) < len(found):
        print(_FILES)
    else:
        print(_NO_SPACE if plain and all(item.value.endswith("/") for item in plain) else _NO_FILES)
