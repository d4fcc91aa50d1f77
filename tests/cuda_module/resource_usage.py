#!/usr/bin/env python3
"""What ptxas makes of CUDA kernels: resource_usage.py COMPILE_COMMANDS ARCHITECTURE… FILE.cu…

Compiles each file as the build does, but for the architectures given as CMake writes them (75-real, 120-virtual),
and prints a table: kernel, registers per architecture, local memory, static shared memory. Warnings are errors where
the build makes them so. It must be compiled with -fmad=false. A kernel that uses local memory (a stack frame, spills) on any architecture fails.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile


def command_of(commands, source):
    """The build's command for this file, or for another kernel where the build has none for it."""
    kernels = [entry for entry in commands if entry["file"].endswith(".cu")]
    if not kernels:
        sys.exit("resource_usage.py: the build compiles no .cu file")
    entry = next((e for e in kernels if os.path.realpath(e["file"]) == os.path.realpath(source)), kernels[0])
    words = shlex.split(entry["command"])
    start = next(i for i, word in enumerate(words) if os.path.basename(word) == "nvcc")  # after ccache
    kept, skip = [], False
    for word in words[start:]:
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT", "-c", "-x"):
            skip = word != "-c"
        elif not (re.match(r"--generate-code|-gencode|-arch|-MD$|--dependency", word) or word == entry["file"]):
            kept.append(word)
    # Which products and sums become one rounding would else be each compiler's choice, and no test on CPUs sees it.
    if "-fmad=false" not in kept:
        sys.exit(f"resource_usage.py: {source} is compiled without -fmad=false")
    return kept, entry["directory"]


def compiled(commands, architectures, source):
    words, directory = command_of(commands, source)
    for architecture in architectures:
        number, kind = architecture.split("-")
        words.append(f"--generate-code=arch=compute_{number},code={'sm' if kind == 'real' else 'compute'}_{number}")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*words, "-Xptxas=-v", "-c", source, "-o", f"{folder}/kernels.o"], cwd=directory,
                              capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{source} does not compile:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def parsed(text):
    """{(mangled name, sm): {registers, local, shared}}; spills show as local memory."""
    result, key = {}, None
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)\w*'", line):
            key = (match[1], int(match[2]))
            result[key] = {"registers": None, "local": None, "shared": 0}
        elif "Function properties for" in line and key and key[0] not in line:
            # A function that was not inlined: its stack is its caller's local memory, which ptxas counts there.
            sys.exit(f"{line.strip()}: a call that was not inlined in {key[0]}")
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            result[key]["local"] = max(map(int, match.groups()))
        elif match := re.search(r"Used (\d+) registers", line):
            result[key]["registers"] = int(match[1])
            if shared := re.search(r"(\d+) bytes smem", line):
                result[key]["shared"] = int(shared[1])
    for key, value in result.items():
        if value["registers"] is None or value["local"] is None:
            sys.exit(f"ptxas told nothing of {key}: its words have changed, so this script must")
    return result


def demangled(names):
    """Without namespaces, arguments and results."""
    text = subprocess.run(["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return {name: re.sub(r"^void ", "", re.sub(r"\(anonymous namespace\)::|(?:\w+::)+|\(\w+\)", "", plain)).strip()
            for name, plain in zip(names, text.splitlines())}


def main():
    commands = json.loads(pathlib.Path(sys.argv[1]).read_text())
    architectures = [a for a in sys.argv[2:] if not a.endswith(".cu")]
    sources = [a for a in sys.argv[2:] if a.endswith(".cu")]
    if not architectures or not sources:
        sys.exit(__doc__)
    real = [int(a.split("-")[0]) for a in architectures if a.endswith("-real")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(lambda source: compiled(commands, architectures, source), sources))

    failed, rows = [], []
    for source, output in zip(sources, outputs):
        found = parsed(output)
        kernels = collections.defaultdict(dict)
        for (name, sm), usage in found.items():
            kernels[name][sm] = usage
        names = demangled(list(kernels))
        for name, per in kernels.items():
            missing = [sm for sm in real if sm not in per]
            if missing:
                failed.append(f"{os.path.basename(source)}: {names[name]} is not compiled for {missing}")
            for sm, usage in sorted(per.items()):
                if usage["local"] > 0:
                    failed.append(f"{os.path.basename(source)}: {names[name]} uses local memory on sm_{sm}: "
                                  f"{usage['local']} bytes")
            rows.append([names[name], *(str(per[sm]["registers"]) if sm in per else "-" for sm in real),
                         str(max(u["local"] for u in per.values())), str(max(u["shared"] for u in per.values()))])
    if not rows:
        sys.exit("resource_usage.py: no kernels in " + " ".join(sources))

    head = ["kernel: registers on", *(f"sm_{sm}" for sm in real), "local", "shared"]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *sorted(rows)]:
        print("  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]))
    print(f"{len(rows)} kernels of {len(sources)} files")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
