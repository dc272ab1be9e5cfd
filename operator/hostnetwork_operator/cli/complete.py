"""`kubectl_complete-hostnetwork`: what the shell may put in place of the last word, for kubectl's own completion.

kubectl calls this program with the words that a person has typed, the last one possibly empty, and reads one choice a
line, `value<TAB>help`, then a directive (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/).
"""

import sys
from typing import Final

from click.shell_completion import ShellComplete

from hostnetwork_operator.cli import main as commands

_NO_FILES: Final = ":4"  # cobra's ShellCompDirectiveNoFileComp
_FILES: Final = ":0"


def main() -> None:
    """Print the choices for the words on the command line. Never fail: a person is typing."""
    words = sys.argv[1:] or [""]
    found = ShellComplete(commands.root, {}, "kubectl hostnetwork", "_HOSTNETWORK_COMPLETE").get_completions(
        words[:-1], words[-1]
    )
    files = False
    for item in found:
        if item.type == "plain":
            print(item.value + (f"\t{item.help}" if item.help else ""))
        else:
            files = True
    print(_FILES if files else _NO_FILES)
