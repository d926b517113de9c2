#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the host lane's test programs and counts.

    run.py --logs DIR --count FILE [--seconds N] PROGRAM...

A program may have arguments behind it, in the same word: 'build/host/vm/test_suite dom0'.

Each program speaks TAP (cmocka's). Its output goes to standard output and to DIR/host-NAME.log.
A test that was planned but has no result, because its program crashed or ran out of time, has
failed; so has a program that failed without a failed test, or that planned none.

DIR/FILE gets one line, "N passed, N failed, N skipped, S seconds". Exit status: 0 if none failed
and at least one passed, else 1.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

RESULT = re.compile(r"^(not )?ok\b(?:.*?(#\s*SKIP))?", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)")


def run(program, seconds):
    """Output, and what was amiss with the program as a whole ('' if nothing)."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    try:
        done = subprocess.run(program.split(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=env, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as late:
        return late.stdout or b"", f"not done after {seconds} s"
    except OSError as err:
        return b"", str(err)
    return done.stdout, f"exit status {done.returncode}" if done.returncode else ""


def count(text, amiss):
    """(passed, failed, skipped) of one program's TAP."""
    passed = failed = skipped = planned = 0
    for line in text.splitlines():
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            planned += int(plan[1])
        elif result and result[1]:
            failed += 1
        elif result and result[2]:
            skipped += 1
        elif result:
            passed += 1
    failed += max(0, planned - passed - failed - skipped)
    if failed == 0 and (amiss or planned == 0 or passed + skipped != planned):
        failed = 1
    return passed, failed, skipped


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", type=pathlib.Path, required=True)
    parser.add_argument("--count", required=True)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("programs", nargs="+")
    args = parser.parse_args()

    (args.logs / args.count).unlink(missing_ok=True)
    start = time.monotonic()
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda program: run(program, args.seconds), args.programs)
        for program, (output, amiss) in zip(args.programs, runs):
            path = pathlib.Path(program.split()[0])
            name = "-".join([f"{path.parent.name}/{path.name}", *program.split()[1:]])
            text = output.decode(errors="backslashreplace")
            (args.logs / f"host-{name.replace('/', '-')}.log").write_text(text)
            counts = count(text, amiss)
            print(f"# {name}\n{text.rstrip()}")
            print(f"# {name}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped"
                  + (f" ({amiss})" if amiss else ""), flush=True)
            total = [a + b for a, b in zip(total, counts)]

    verdict = (f"{total[0]} passed, {total[1]} failed, {total[2]} skipped, "
               f"{time.monotonic() - start:.1f} seconds")
    (args.logs / args.count).write_text(verdict + "\n")
    print(f"host: {verdict}")
    return 0 if total[1] == 0 and total[0] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
