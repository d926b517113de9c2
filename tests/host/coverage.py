#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says which files the host's tests reach too little of.

    coverage.py --below FILE DIRECTORY...

Asks gcovr about the objects in the directories, and holds each source file against the aim of its
folder: lines and branches, in percent. FILE lists those that are not there yet, 'file lines branches
why': the figures are floors, and one that has reached its aim must leave the list.

Left out is one pattern: the failing arm of ASSERT() and of panic(), which is a bug of the kernel's.

Exit status: 0 if no file is below its aim or its floor, else 1.
"""

import argparse
import json
import pathlib
import subprocess
import sys

# Folder, lines, branches.
AIMS = [("mm/", 95.0, 90.0), ("xen/", 85.0, 85.0), ("boot/", 85.0, 85.0), ("lib/", 95.0, 90.0)]

# Code that is not for the host: its parts are run by other lanes alone.
ELSEWHERE = {
    "boot/pvh.c": "the way in without Xen",
    "boot/crash.c": "after the report there is nothing left to return to",
}

GCOVR = ["gcovr", "--root", ".", "--exclude-unreachable-branches",
         "--exclude-branches-by-pattern", r".*\b(ASSERT|panic)\(.*",
         "--exclude-lines-by-pattern", r"^\s*panic\(.*", "--json-summary", "-"]


def measure(directories):
    """{file: (lines, branches)} in percent."""
    filters = [word for folder, _, _ in AIMS for word in ("--filter", folder)]
    command = GCOVR + filters + directories
    summary = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {entry["filename"]: (entry["line_percent"] or 0.0,
                                100.0 if entry["branch_total"] == 0 else entry["branch_percent"])
            for entry in summary["files"]}


def floors(path):
    """{file: (lines, branches)} of those that are not there yet."""
    listed = {}
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            listed[words[0]] = (float(words[1]), float(words[2]))
    return listed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--below", type=pathlib.Path, required=True)
    parser.add_argument("directories", nargs="+")
    args = parser.parse_args()
    listed, bad = floors(args.below), 0

    for name, (lines, branches) in sorted(measure(args.directories).items()):
        aim = next(((a, b) for folder, a, b in AIMS if name.startswith(folder)))
        below = lines < aim[0] or branches < aim[1]
        floor = listed.pop(name, None)
        verdict = ""
        if name in ELSEWHERE:
            verdict = ELSEWHERE[name]
        elif floor and not below:
            verdict, bad = "BAD: it has reached its aim, and leaves the list", bad + 1
        elif floor and (lines < floor[0] or branches < floor[1]):
            verdict, bad = f"BAD: below its floor of {floor[0]} and {floor[1]}", bad + 1
        elif floor:
            verdict = "not there yet"
        elif below:
            verdict, bad = f"BAD: below {aim[0]} and {aim[1]}", bad + 1
        print(f"{name:32} lines {lines:5.1f}  branches {branches:5.1f}  {verdict}".rstrip())
    for name in listed:
        print(f"{name}: listed, but no such file was measured")
        bad += 1
    print(f"coverage: {bad} files below")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
