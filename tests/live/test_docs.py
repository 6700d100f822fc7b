#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""--help, the man page and the completions tell the same; make install puts them where they belong."""
import functools
import json
import os
import re
import subprocess

from lab import BUILD, ROOT, Scratch, check, equal, main, need, read, test, tool

MAN = "src/faultprof.8"
BASH, ZSH, FISH = ("src/completions/" + name
                   for name in ("faultprof.bash", "_faultprof", "faultprof.fish"))
WORDS = ("kind", "mode", "format", "tier")


def named(pattern, text):
    return set(re.findall(pattern, text, re.M))


@functools.lru_cache(None)
def subcommands():
    text = tool("--help").out
    return named(r"^  (\w+) ", text[text.index("Subcommands"):])


@functools.lru_cache(None)
def in_help():
    text = "".join(tool(*words, "--help").out for words in [[]] + [[s] for s in subcommands()])
    return named(r"^  (-\w), ", text) | named(r"^ +(?:-\w, )?(--[\w-]+)", text)


def in_man(text):
    text = text.replace(r"\-", "-")
    items = re.findall(r"^\.TP\n(\..*)$", text[text.index(".SH OPTIONS"):], re.M)
    return {o for item in items for o in named(r"[ \"](--?[a-zA-Z][\w-]*)", item)}


def in_bash(text):
    words = " ".join(re.findall(r"options=['\"](.*?)['\"]", text, re.S))
    return named(r"(?<!/ )(--[\w-]+)", words) | named(r"(?:^\t|\| )(-\w)(?= \||\))", text)


def in_zsh(text):
    return named(r"""(?<=['"{,*])(--?[a-zA-Z][\w-]*)(?=[=+]?[\[,}])""", text)


def in_fish(text):
    return ({"-" + o for o in re.findall(r" -s (\w)", text)} |
            {"--" + o for o in re.findall(r" -l ([\w-]+)", text)})


@functools.lru_cache(None)
def accepted(option):
    """The words that an option takes, as the tool lists them when it is given another."""
    return re.search("there are (.*)", tool("--" + option, "?").err).group(1).split(", ")


def differences(text):
    """What is wrong in these files, {name: content}: one line each."""
    wanted, bad = in_help(), []
    for name, find in ((MAN, in_man), (BASH, in_bash), (ZSH, in_zsh), (FISH, in_fish)):
        found = find(text[name])
        # bash completes no short options, but knows those that want a value.
        optional = {"-v", "-V", "-h"} if name == BASH else set()
        bad += ["%s lacks %s" % (name, o) for o in wanted - found - optional]
        bad += ["%s has %s" % (name, o) for o in found - wanted]
        plain = text[name].replace(r"\-", "-")
        bad += ["%s lacks the subcommand %s" % (name, s) for s in subcommands()
                if not re.search(r"(^\.B %s$|[ ('\"]%s[ )'\"|])" % (s, s), plain, re.M)]
        bad += ["%s lacks %s of --%s" % (name, w, o) for o in WORDS for w in accepted(o)
                if not re.search(r"(?<![\w-])%s(?![\w-])" % w, plain)]
    return bad


def files():
    return {name: read(os.path.join(ROOT, name)) for name in (MAN, BASH, ZSH, FISH)}


@test
def test_options():
    equal(differences(files()), [], "differences from --help")


@test
def test_options_see_a_difference():
    before = len(differences(files()))
    for name, pattern, text in (
            (MAN, r"\.BI \\-\\-ring", r".BI \-\-rung"),
            (MAN, r'\.BR \\-p ", ', r'.BR \-q ", '),
            (MAN, r"^\.TP.*\n\.B cow\n", ""),
            (BASH, "='record ", "='"),
            (BASH, "--slow", ""),
            (BASH, "-o \\|", "-u |"),
            (BASH, " huge", ""),
            (ZSH, ".*--slow=.*\n", ""),
            (ZSH, ".*--budget=.*\n", ""),
            (ZSH, "{-p\\+,", "{-q+,"),
            (ZSH, "shmem", ""),
            (FISH, ".*-l verbose.*\n", ""),
            (FISH, " -s d ", " -s D "),
            (FISH, "tracepoint", "")):
        damaged = files()
        damaged[name], count = re.subn(pattern, text, damaged[name], count=1, flags=re.M)
        equal(count, 1, "matches of %r in %s" % (pattern, name))
        check(len(differences(damaged)) > before, "%r in %s is not seen" % (pattern, name))


def keys(value):
    if isinstance(value, list):
        return {key for item in value for key in keys(item)}
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys(item)}
    return set()


@test
def test_json_keys():
    """The man page names every key, but not each reason for a loss."""
    report = json.loads(read(os.path.join(ROOT, "tests/data/report.json")))
    report["losses"] = {}
    text = files()[MAN]
    text = text[text.index(".SH JSON"):text.index(".SH REQ")]
    equal(sorted(key for key in keys(report) if not re.search(r"\b%s\b" % key, text)), [],
          "keys that the man page lacks")


def tree(path):
    return sorted(os.path.relpath(os.path.join(where, name), path)
                  for where, _, names in os.walk(path) for name in names)


@test
def test_install():
    need("make", "install")
    with Scratch() as place:
        def make(target, prefix):
            subprocess.run(["make", "-s", target, "BUILD=" + BUILD, "DESTDIR=" + place,
                            "PREFIX=" + prefix], cwd=ROOT, stdout=subprocess.DEVNULL, check=True,
                           timeout=60)

        own = os.path.join(place, "usr/sbin/other")
        os.makedirs(os.path.dirname(own))
        open(own, "w").close()
        make("install", "/usr")
        equal(tree(place), ["usr/sbin/faultprof", "usr/sbin/other",
                            "usr/share/bash-completion/completions/faultprof",
                            "usr/share/doc/faultprof/prometheus/alerts.yml",
                            "usr/share/doc/faultprof/prometheus/dashboard.json",
                            "usr/share/doc/faultprof/prometheus/faultprof.service",
                            "usr/share/fish/vendor_completions.d/faultprof.fish",
                            "usr/share/man/man8/faultprof.8",
                            "usr/share/zsh/site-functions/_faultprof"], "installed files")
        done = subprocess.run([os.path.join(place, "usr/sbin/faultprof"), "--version"],
                              stdout=subprocess.DEVNULL)
        equal(done.returncode, 0, "exit code of what is installed")
        check("ExecStart=/usr/sbin/faultprof " in read(os.path.join(
            place, "usr/share/doc/faultprof/prometheus/faultprof.service")), "another path")
        make("uninstall", "/usr")
        equal(tree(place), ["usr/sbin/other"], "files after uninstall")


main()
