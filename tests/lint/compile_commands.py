#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints compile_commands.json for the kernel's C files, for clangd and clang-tidy.

usage: compile_commands.py BUILD 'COMPILER FLAGS...' SOURCE...
"""
import json
import os
import sys


def main():
    build, command, sources = sys.argv[1], sys.argv[2], sys.argv[3:]
    top = os.getcwd()
    entries = [{'directory': top, 'file': source,
                'command': f'{command} -c {source} -o {build}/obj/{source}.o'}
               for source in sources]
    json.dump(entries, sys.stdout, indent=1)
    print()


if __name__ == '__main__':
    main()
