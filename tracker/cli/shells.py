"""The scripts that make bash and fish complete, where click's own break names apart.

Names of experiments and metrics hold spaces, commas, quotes and stars. click's script for bash puts
them on the command line unquoted, and its script for fish ends them at a comma; zsh's is in order.
"""

from __future__ import annotations

from typing import ClassVar

from click.shell_completion import BashComplete, FishComplete, add_completion_class

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response type value

    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
%(complete_var)s=bash_complete $1)

    while IFS=',' read -r type value; do
        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            [[ ${COMP_WORDS[COMP_CWORD]} == [\\"\\']* ]] || printf -v value %%q "$value"
            COMPREPLY+=("$value")
        fi
    done <<< "$response"

    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_FISH = """\
function %(complete_func)s;
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \\
COMP_CWORD=(commandline -t) %(prog_name)s);

    for completion in $response;
        set -l parts (string split --max 1 "," $completion);

        if test $parts[1] = "dir";
            __fish_complete_directories $parts[2];
        else if test $parts[1] = "file";
            __fish_complete_path $parts[2];
        else if test $parts[1] = "plain";
            echo $parts[2];
        end;
    end;
end;

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)";
"""


class Bash(BashComplete):
    """Quotes what it puts on the command line."""

    source_template: ClassVar[str] = _BASH


class Fish(FishComplete):
    """Keeps the commas in names and help texts."""

    source_template: ClassVar[str] = _FISH


def install() -> None:
    """Let ``_TRACKER_COMPLETE=bash_source tracker`` and ``fish_source`` print these scripts."""
    add_completion_class(Bash, "bash")
    add_completion_class(Fish, "fish")
