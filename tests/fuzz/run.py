#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets, or keeps what they have found.

    run.py --programs DIR --work DIR --logs DIR [--seconds N] [--jobs N] TARGET...
    run.py --programs DIR --work DIR --logs DIR --merge TARGET...

Each target begins with tests/fuzz/corpus/TARGET and what earlier runs left in WORK/corpus/TARGET, where new
inputs go; an input that breaks something goes to WORK/found/TARGET-*, what was said to LOGS/fuzz-TARGET.log. The
seconds are of the clock, for all targets together, shared among them alike. A line a target tells its
executions, CPU seconds, coverage (cov: edges; ft: features, libFuzzer's finer count) and inputs. Exit status 1
if anything was found.

--merge replaces tests/fuzz/corpus/TARGET by the fewest inputs that reach each edge, and some, about KEEP in all, of
those that reach each feature. Inputs with a name that is no hash are regressions, and stay.
"""

import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CORPUS = pathlib.Path("tests/fuzz/corpus")
DICTS = pathlib.Path("tests/fuzz")

# Bytes of an input, seconds and MiB that one may take.
LIMITS = ["-max_len=1300", "-timeout=20", "-rss_limit_mb=1500"]

# Inputs of a corpus; a target with a machine reaches far more.
KEEP, KEEP_MACHINE = 60, 150
HASH = re.compile(r"^[0-9a-f]{40}$")
PULSE = re.compile(rb"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)(?: corp: (\d+))?", re.MULTILINE)
DONE = re.compile(rb"stat::number_of_executed_units: (\d+)")


# A program with a machine handles faults itself; long inputs are many operations, and worth while from the start.
MACHINE = ["-handle_segv=0", "-handle_bus=0", "-handle_ill=0", "-handle_fpe=0", "-len_control=5"]


def has_machine(args, target):
    return (args.programs / "vmfuzz" / f"fuzz_{target}").exists()


def command(args, target):
    if has_machine(args, target):
        line = [str(args.programs / "vmfuzz" / f"fuzz_{target}"), *MACHINE, *LIMITS]
    else:
        line = [str(args.programs / "fuzz" / f"fuzz_{target}"), *LIMITS]
    words = DICTS / f"{target}.dict"
    if words.exists():
        line.append(f"-dict={words}")
    return line


def fuzz(args, target, seconds):
    """One target's run: (what to say, whether it found something, CPU seconds)."""
    grown, found = args.work / "corpus" / target, args.work / "found"
    for folder in (grown, found, args.logs):
        folder.mkdir(parents=True, exist_ok=True)
    corpora = [str(grown)] + ([str(CORPUS / target)] if (CORPUS / target).is_dir() else [])
    log = args.logs / f"fuzz-{target}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*command(args, target), f"-max_total_time={seconds}",
                                    "-print_final_stats=1", "-reload=0",
                                    f"-artifact_prefix={found}/{target}-", *corpora],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    status, cpu = process.returncode, used.ru_utime + used.ru_stime
    text = log.read_bytes()
    pulses, done = PULSE.findall(text), DONE.search(text)
    runs, cov, ft, inputs = pulses[-1] if pulses else (b"0", b"0", b"0", b"0")
    runs = done[1] if done else runs
    said = (f"{target:14} {int(runs):>10} executions in {seconds} s, {cpu:.0f} s of CPU, cov {int(cov)}, ft {int(ft)}, "
            f"{int(inputs or 0)} inputs")
    if status:
        said += f"  FOUND SOMETHING (status {status}): {log}"
    return said, status != 0, cpu


def smallest(args, target, room, *options):
    """The fewest inputs of both corpora that reach as much, the shortest first: their contents."""
    room.mkdir()
    with (args.logs / f"fuzz-{target}-merge.log").open("wb") as out:
        subprocess.run([*command(args, target), "-merge=1", *options, str(room), str(CORPUS / target),
                        str(args.work / "corpus" / target)],
                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)
    return sorted((path.read_bytes() for path in room.iterdir()), key=lambda data: (len(data), data))


def merge(args, target):
    """Minimises one corpus. Returns what to say."""
    kept, grown = CORPUS / target, args.work / "corpus" / target
    kept.mkdir(parents=True, exist_ok=True)
    grown.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work) as room:
        keep = KEEP_MACHINE if has_machine(args, target) else KEEP
        chosen = smallest(args, target, pathlib.Path(room) / "edges", "-use_counters=0")[:keep]
        more = smallest(args, target, pathlib.Path(room) / "features")
    # Beside those that reach each edge some of all lengths.
    step = max(1, len(more) // max(1, keep - len(chosen)))
    chosen = {*chosen, *more[::step]}
    named = [path for path in kept.iterdir() if not HASH.match(path.name)]
    chosen -= {path.read_bytes() for path in named}
    for path in kept.iterdir():
        if path not in named:
            path.unlink()
    for data in chosen:
        (kept / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return f"{target}: {len(chosen)} inputs, {len(named)} regressions"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--logs", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("targets", nargs="+")
    args = parser.parse_args()
    args.logs.mkdir(parents=True, exist_ok=True)

    if args.merge:
        for target in args.targets:
            print(merge(args, target), flush=True)
        return 0
    each = max(1, args.seconds * min(args.jobs, len(args.targets)) // len(args.targets))
    bad, cpu = 0, 0.0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = [pool.submit(fuzz, args, target, each) for target in args.targets]
        for done in concurrent.futures.as_completed(runs):
            said, broken, used = done.result()
            print(said, flush=True)
            bad += broken
            cpu += used
    print(f"fuzz: {len(args.targets)} targets, {cpu:.0f} s of CPU, {bad} found something")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
