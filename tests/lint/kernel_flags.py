#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints how the kernel's C files are compiled: a command of compile_commands.json without its files."""

import json
import shlex
import sys


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        words = shlex.split(json.load(file)[0]['command'])
    at = words.index('-c')
    print(' '.join(words[:at]))


if __name__ == '__main__':
    main()
