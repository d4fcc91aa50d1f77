"""dockerfile.py SOURCE DOCKERFILE: does the steps of a Dockerfile of the repository SOURCE in Debian roots that debootstrap
makes, as far as that goes without Docker, and looks whether what comes out does what an image should: run its health
check and a training, as an ordinary user, with nothing in it to build with. Needs root. It is no image that is made."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

SOURCE, DOCKERFILE = map(os.path.abspath, sys.argv[1:3])


def instructions(file):
    """(name, rest of the line), of lines that are joined where they end in a backslash."""
    with open(file, encoding="utf-8") as text:
        lines = re.sub(r"^\s*#.*\n", "", text.read(), flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [line.split(maxsplit=1) for line in lines if line.strip()]


class Stage:
    """A root, and what its instructions have set for those that follow."""

    def __init__(self, root):
        self.root, self.folder, self.user = root, "/", "root"
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.health, self.entry = None, None

    def run(self, words, **options):
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        variables += [f"{name}={os.environ[name]}" for name in ("http_proxy", "https_proxy") if name in os.environ]
        command = ["chroot", f"--userspec={self.user}", self.root, "env", "-i", *variables, "sh", "-c",
                   f"cd {shlex.quote(self.folder)} && exec \"$@\"", "sh", *words]
        return subprocess.run(command, check=True, **options)

    def inside(self, path):
        return os.path.join(self.root, os.path.join(self.folder, path).lstrip("/"))

    def copy(self, source, place):
        os.makedirs(self.inside(place) if os.path.isdir(source) else os.path.dirname(self.inside(place)), exist_ok=True)
        subprocess.run(["cp", "-a", "--no-preserve=ownership", source + ("/." if os.path.isdir(source) else ""),
                        self.inside(place)], check=True)


def context(folder):
    """The files of the repository, as .dockerignore leaves them: those that git knows."""
    files = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z"], check=True, capture_output=True).stdout
    tar = subprocess.run(["tar", "-c", "--null", "-T", "-", "--ignore-failed-read"], input=files,
                         check=True, capture_output=True, cwd=SOURCE).stdout
    os.makedirs(folder)
    subprocess.run(["tar", "-x", "-C", folder, "--no-same-owner"], input=tar, check=True)


def build(scratch):
    stages, named = [], {}
    context(f"{scratch}/context")
    for name, rest in instructions(DOCKERFILE):
        print(f"--- {name} {rest}", flush=True)
        stage = stages[-1] if stages else None
        match name:
            case "ARG":
                assert rest == "BASE=debian:12-slim", "the roots are those of Debian 12"
            case "FROM":
                assert rest.startswith("${BASE}"), rest
                root = f"{scratch}/root-{len(stages)}"
                subprocess.run([f"{os.path.dirname(os.path.abspath(__file__))}/debian_root", root], check=True)
                stages.append(Stage(root))
                named[rest.rpartition(" AS ")[2]] = stages[-1]
            case "WORKDIR":
                stage.folder = rest
                os.makedirs(stage.inside("."), exist_ok=True)
            case "COPY":
                words = rest.split()
                if words[0].startswith("--from="):
                    stage.copy(named[words[0].removeprefix("--from=")].inside(words[1]), words[2])
                else:
                    stage.copy(os.path.normpath(f"{scratch}/context/{words[0]}"), words[1])
            case "RUN":
                stage.run(["sh", "-c", rest])
            case "ENV":
                stage.environment.update(word.split("=", 1) for word in rest.split())
            case "USER":
                stage.user = rest
            case "HEALTHCHECK":
                stage.health = json.loads(rest[rest.index("CMD") + 3:])
            case "ENTRYPOINT":
                stage.entry = json.loads(rest)
            case _:
                sys.exit(f"dockerfile.py does not know {name}")
    return stages[-1]


def main():
    if os.environ.get("GANYMEDE_DOCKERFILE") != "inside":
        if os.geteuid() != 0:
            sys.exit("only root can make a Debian root")
        scratch = tempfile.mkdtemp(prefix="dockerfile.", dir="/var/tmp")
        os.chmod(scratch, 0o755)
        try:
            inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv, scratch]
            return subprocess.run(inside, env=os.environ | {"GANYMEDE_DOCKERFILE": "inside"}, check=False).returncode
        finally:
            shutil.rmtree(scratch)
    image = build(sys.argv[3])
    assert image.user != "root"
    for tool in ("g++", "cmake", "ninja"):
        assert not os.path.exists(f"{image.root}/usr/bin/{tool}"), f"{tool} is in the image"
    image.run(image.health)
    image.run([*image.entry, "train", "--steps", "20", "--out", "first"])
    image.run(["mpirun", "-n", "2", *image.entry, "train", "--steps", "20", "--out", "two"])
    for run in ("first", "two"):
        assert os.path.getsize(image.inside(f"{run}/generator.safetensors")) > 0
    size = subprocess.run(["du", "-sxm", image.root], check=True, capture_output=True, text=True).stdout.split()[0]
    print(f"dockerfile.py: all steps of {DOCKERFILE} done, {size} MB in the last root")
    return 0


if __name__ == "__main__":
    sys.exit(main())
