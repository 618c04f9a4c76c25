#!/usr/bin/env python3
"""Writes weft(1) from the program's own description of its commands.

Usage: generate.py path/to/weft > weft.1

The result is kept in the repository, so that a build needs no Python; a test compares it with the program.
"""

import json
import re
import subprocess
import sys

GLOBAL = ("socket", "output", "help", "version")


def text(words):
    """Roff for running text: backslashes, leading dots and hyphens that must stay hyphens."""
    words = words.replace("\\", "\\e").replace("-", "\\-")
    words = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", words)
    return re.sub(r"^([.'])", r"\\&\1", words, flags=re.MULTILINE)


def name(argument):
    names = [("-" if n["kind"] == "short" else "--") + n["name"] for n in argument.get("names", [])]
    return names


def shown(argument):
    return argument.get("shouldDisplay", True)


def synopsis(path, command):
    parts = [f"\\fB{text(' '.join(path))}\\fR"]
    for argument in command.get("arguments", []):
        if not shown(argument) or argument["valueName"] in GLOBAL or (argument["kind"] != "positional" and name(argument)[-1][2:] in GLOBAL):
            continue
        value = f"\\fI{text(argument['valueName'])}\\fR"
        if argument["kind"] == "positional":
            word = value
        elif argument["kind"] == "flag":
            word = f"\\fB{text('|'.join(name(argument)))}\\fR"
        else:
            word = f"\\fB{text(name(argument)[-1])}\\fR {value}"
        if argument["isRepeating"]:
            word += " ..."
        parts.append(f"[{word}]" if argument["isOptional"] else word)
    return " ".join(parts)


def options(command, wanted):
    lines = []
    for argument in command.get("arguments", []):
        is_global = argument["kind"] != "positional" and name(argument)[-1][2:] in GLOBAL
        if not shown(argument) or is_global != wanted:
            continue
        if argument["kind"] == "positional":
            term = f"\\fI{text(argument['valueName'])}\\fR"
        else:
            term = ", ".join(f"\\fB{text(n)}\\fR" for n in name(argument))
            if argument["kind"] == "option":
                term += f" \\fI{text(argument['valueName'])}\\fR"
        about = argument.get("abstract", "")
        if "allValues" in argument:
            about += f" One of {', '.join(argument['allValues'])}."
        if argument.get("defaultValue") and argument["kind"] == "option":
            about += f" Default: {argument['defaultValue']}."
        lines += [".TP", term, text(about)]
    return lines


def leaves(command, path):
    children = [c for c in command.get("subcommands", []) if c["commandName"] != "help"]
    if not children:
        yield path, command
    for child in children:
        yield from leaves(child, path + [child["commandName"]])


def page(root):
    lines = [
        '.\\" Made by packaging/man/generate.py; do not edit.',
        ".TH WEFT 1",
        ".SH NAME",
        "weft \\- look at and steer the Weft agent of this host",
        ".SH SYNOPSIS",
        "\\fBweft\\fR \\fIcommand\\fR [\\fIargument\\fR ...] [\\fB\\-\\-socket\\fR \\fIpath\\fR] [\\fB\\-\\-output\\fR table|json]",
        ".SH DESCRIPTION",
        "\\fBweft\\fR talks to \\fBweftd\\fR(8) over its Unix socket.",
        "Tables are for people and may change; \\fB\\-\\-output json\\fR is for programs and is described in the API's documentation.",
        "Answers go to standard output, notes and errors to standard error.",
        "Names that come from other nodes are shown with control characters replaced.",
        ".SH COMMANDS",
    ]
    shared = None
    for path, command in leaves(root, ["weft"]):
        lines += [f".SS {text(' '.join(path))}", synopsis(path, command), ".PP", text(command["abstract"])]
        if command.get("discussion"):
            lines += [".PP", text(command["discussion"])]
        lines += options(command, False)
        shared = shared or command
    lines += [".SH OPTIONS OF EVERY COMMAND"] + options(shared, True)
    lines += [
        ".SH ENVIRONMENT",
        ".TP",
        "\\fBWEFT_SOCKET\\fR",
        "The agent's socket, where \\fB\\-\\-socket\\fR is not given.",
        ".TP",
        "\\fBWEFT_TOKEN\\fR",
        "The token for \\fBweft join\\fR.",
        ".TP",
        "\\fBNO_COLOR\\fR",
        "No colours, even on a terminal.",
        ".SH FILES",
        ".TP",
        "\\fI/run/weft/weft.sock\\fR",
        "The agent's socket.",
        ".TP",
        "\\fI/etc/systemd/system/UNIT.d/50\\-weft.conf\\fR",
        "What \\fBweft capture add\\fR installs for a unit.",
        ".SH EXIT STATUS",
    ]
    for status, meaning in [
        (0, "Done."),
        (1, "The agent refused or failed; standard error has the reason and the remedy."),
        (64, "The command line is wrong."),
        (69, "No agent answers on the socket."),
        (75, "What was waited for did not come in time; trying again may help."),
        (77, "The user may not do this: reading needs group weft, changes need group weft\\-admin or root."),
    ]:
        lines += [".TP", str(status), meaning]
    lines += [".SH SEE ALSO", "\\fBweftd\\fR(8), \\fBsystemctl\\fR(1)"]
    return "\n".join(lines) + "\n"


description = json.loads(subprocess.run([sys.argv[1], "--experimental-dump-help"], check=True, capture_output=True).stdout)
sys.stdout.write(page(description["command"]))
