#!/usr/bin/env python3
"""manual_test.py HOLDFAST SOURCE: holdfast(1) against the program itself.

Commands, their arguments and options as --help has them, exit codes, and the environment
variables that the sources ask for; mandoc finds no fault. (holdfast.yaml(5) is compared
with the schema in test_config_keys.c.)
"""
import glob
import re
import subprocess
import sys

BINARY, SOURCE = sys.argv[1:]
EVERYWHERE = {"config", "help", "version"}
failures = []


def expect_same(what, program, manual):
    for item in sorted(program - manual):
        failures.append(f"{what}: the manual lacks {item}")
    for item in sorted(manual - program):
        failures.append(f"{what}: only the manual has {item}")


def help_of(*words):
    return subprocess.run([BINARY, *words, "--help"], check=True, capture_output=True,
                          text=True).stdout


def options_in(text):
    """{"stream": "NAME", "json": ""}"""
    return dict(re.findall(r"^  --(\S+)(?: ([A-Z][A-Z=]*))? ", text, re.MULTILINE))


def program_commands():
    """{"journal show": ("SEQ", {...options})}"""
    listed = help_of().split("commands:\n")[1].split("\n\n")[0]
    commands = {}
    for line in listed.splitlines():
        form = re.match(r"  ([a-z]+(?: [a-z]+)*)(?: (\[?[A-Z][A-Z/.]*\]?))? ", line)
        name, arguments = form.groups(default="")
        commands[name] = (arguments, options_in(help_of(*name.split())))
    return commands


def manual_commands(text):
    """Each .It Ic with what follows it until the next one."""
    commands = {}
    for item in re.split(r"^\.It Ic ", text, flags=re.MULTILINE)[1:]:
        head, body = item.split("\n", 1)
        body = re.split(r"^\.(?:El|Sh)", body, flags=re.MULTILINE)[0]
        name, _, arguments = re.match(r"([a-z ]+?)( (?:Op )?Ar (.*))?$", head).groups()
        shown = arguments or ""
        if " Op Ar " in head:
            shown = f"[{shown}]"
        listed = body.split("Options:\n")[1] if "Options:\n" in body else ""
        commands[name] = (shown, set(re.findall(r"Fl -(\S+)", listed)))
    return commands


def compare_commands(text):
    program, manual = program_commands(), manual_commands(text)
    expect_same("commands", set(program), set(manual))
    options = options_in(help_of())
    for name in set(program) & set(manual):
        expect_same(f"{name}: arguments", {program[name][0]}, {manual[name][0]})
        expect_same(f"{name}: options", set(program[name][1]) - EVERYWHERE, manual[name][1])
    for _, more in program.values():
        options.update(more)
    described = re.findall(r"^\.It Fl -(\S+)(?: Ar (\S+))?$", text, re.MULTILINE)
    expect_same("options", set(options.items()), set(described))


def compare_exit_codes(text):
    said = help_of().split("Exit codes:")[1].split(".")[0]
    section = text.split(".Sh EXIT STATUS")[1].split(".Sh")[0]
    expect_same("exit codes", set(re.findall(r"\b\d+\b", said)),
                set(re.findall(r"^\.It (\d+)$", section, re.MULTILINE)))


def compare_environment(text):
    asked = set()
    for folder in ("base", "schema", "journal", "replay", "audit", "engine"):
        for path in glob.glob(f"{SOURCE}/{folder}/*.c"):
            with open(path, encoding="utf-8") as source:
                asked |= set(re.findall(r'getenv\("(\w+)"\)', source.read()))
    section = text.split(".Sh ENVIRONMENT")[1].split(".Sh")[0]
    named = set()
    for item in re.findall(r"^\.It (Ev .*)$", section, re.MULTILINE):
        named |= set(re.findall(r"Ev (\w+)", item))
    expect_same("environment", asked, named)


def lint():
    for page in (f"{SOURCE}/docs/holdfast.1", f"{SOURCE}/docs/holdfast.yaml.5"):
        checked = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page],
                                 capture_output=True, text=True, check=False)
        if checked.returncode:
            failures.append(checked.stdout + checked.stderr)


with open(f"{SOURCE}/docs/holdfast.1", encoding="utf-8") as page:
    MANUAL = page.read()
compare_commands(MANUAL)
compare_exit_codes(MANUAL)
compare_environment(MANUAL)
lint()
if failures:
    sys.exit("manual_test: docs/holdfast.1 and the program differ:\n  " + "\n  ".join(failures))
print("manual_test: fine")
