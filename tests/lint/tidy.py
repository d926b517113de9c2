#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
clang-tidy over some sources, as many at a time as there are CPUs, and none for nothing: a source that was found clean is looked
at again only when something that it is made of has changed.

    tidy.py BUILD [OPTION...] -- FILE...

What is kept is BUILD/lint/tidy/FILE, a hash: of the source as it is preprocessed, with its comments (NOLINT is one), of its
flags, of .clang-tidy and of clang-tidy's version. Exit status: 1 if anything was found, or could not be looked at.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys


def _commands(build):
    """{file: command} of the build, as lists of words."""
    entries = json.loads((build / 'compile_commands.json').read_text(encoding='utf-8'))
    return {entry['file']: entry.get('arguments') or entry['command'].split() for entry in entries}


def _key(command, tool):
    """The hash of all that a source's result depends on; '' if it does not even preprocess."""
    words = [word for word in command if word != '-c']
    if '-o' in words:
        at = words.index('-o')
        del words[at:at + 2]
    done = subprocess.run([*words, '-E', '-CC'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    made = hashlib.sha256(done.stdout + ' '.join(command).encode() + tool)
    return '' if done.returncode else made.hexdigest()


def _look(file, command, options, build, tool):
    """Whether the source is clean, and what there is to say of it."""
    kept = build / 'lint/tidy' / file
    key = _key(command, tool)
    if key and kept.is_file() and kept.read_text(encoding='utf-8') == key:
        return True, ''
    done = subprocess.run(['clang-tidy', '-quiet', '-p', str(build), *options, file], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        return False, done.stdout + done.stderr
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(key, encoding='utf-8')
    return True, done.stdout


def main():
    """Looks at the files; prints what is found."""
    build = pathlib.Path(sys.argv[1])
    end = sys.argv.index('--')
    options, files = sys.argv[2:end], sys.argv[end + 1:]
    version = subprocess.run(['clang-tidy', '--version'], stdout=subprocess.PIPE, check=True).stdout
    tool = version + pathlib.Path('.clang-tidy').read_bytes() + ' '.join(options).encode()
    commands, clean = _commands(build), True
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        known = [file for file in files if file in commands]
        for good, said in pool.map(lambda file: _look(file, commands[file], options, build, tool), known):
            clean &= good
            print(said, end='')
    return 0 if clean else 1


if __name__ == '__main__':
    sys.exit(main())
