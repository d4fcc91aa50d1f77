"""dockerfile.py SOURCE DOCKERFILE: does the steps of a Dockerfile of the repository SOURCE in Debian roots that debootstrap
makes, as far as that goes without Docker, and looks whether what comes out does what an image should: run its health
check and a training, as an ordinary user, with nothing in it to build with. Of the image for CPUs it goes on to make the
hosts of docker/compose.yaml, as namespaces, and to train over them as that file says. Needs root. It is no image that is
made, and no container that runs."""

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import yaml

SOURCE, DOCKERFILE = map(os.path.abspath, sys.argv[1:3])


def instructions(text):
    """(name, rest of the line), of lines that are joined where they end in a backslash."""
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [line.split(maxsplit=1) for line in lines if line.strip()]


def content(file):
    with open(file, encoding="utf-8") as text:
        return text.read()


class Stage:
    """A root, and what its instructions have set for those that follow."""

    def __init__(self, root):
        self.root, self.folder, self.user = root, "/", "root"
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.health, self.entry = None, None
        self.outside = {name: os.environ[name] for name in ("http_proxy", "https_proxy") if name in os.environ}
        # On a network whose certificates are its own, pip there is told of them as pip here is.
        if "PIP_CERT" in os.environ:
            shutil.copy(os.environ["PIP_CERT"], f"{root}/etc/pip-cert.pem")
            self.outside["PIP_CERT"] = "/etc/pip-cert.pem"

    def enters(self, words):
        """The words that run a command here."""
        [home] = [line.split(":")[5] for line in content(f"{self.root}/etc/passwd").splitlines()
                  if line.startswith(f"{self.user}:")]
        variables = [f"{name}={value}" for name, value in ({"HOME": home} | self.outside | self.environment).items()]
        return ["chroot", f"--userspec={self.user}", self.root, "env", "-i", *variables, "sh", "-c",
                f"cd {shlex.quote(self.folder)} && exec \"$@\"", "sh", *words]

    def run(self, words, **options):
        return subprocess.run(self.enters(words), **{"check": True} | options)

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


def build(text, scratch, made=None):
    """Does a Dockerfile's steps; `made`: (an image's name, its root), which it may start from."""
    stages, named = [], {}
    for name, rest in instructions(text):
        print(f"--- {name} {rest}", flush=True)
        stage = stages[-1] if stages else None
        match name:
            case "ARG":
                assert rest == "BASE=debian:12-slim", "the roots are those of Debian 12"
            case "FROM":
                if made and rest == made[0]:
                    stages.append(made[1])
                    continue
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


def check_module(image):
    """Where there is a GPU backend, all of it is there but the driver, which comes from the host."""
    modules = glob.glob(f"{image.root}/opt/ganymede/**/libganymede_cuda.so", recursive=True)
    assert len(modules) == ("cuda" in DOCKERFILE), modules
    for module in modules:
        linked = image.run(["ldd", module.removeprefix(image.root)], capture_output=True, text=True).stdout
        assert "not found" not in linked, linked
        asked = image.run([*image.entry, "train", "--device", "cuda", "--out", "gpu"], capture_output=True, text=True,
                          check=False)
        print(asked.stderr, end="")
        assert asked.returncode == 4 and "driver" in asked.stderr, asked


def check_compose(image, scratch):
    """Two hosts joined by a cable, whose root is the image that compose.yaml makes of this one."""
    text = content(f"{SOURCE}/docker/compose.yaml")
    compose = yaml.safe_load(text)
    services = compose["services"]
    [inline] = {service["build"]["dockerfile_inline"] for service in services.values()}
    assert {"image", "build", "shm_size", "volumes", "hostname"} == set().union(*services.values())
    assert all(service["volumes"] == ["runs:/runs"] for service in services.values()) and "runs" in compose["volumes"]
    tag = re.search(r"docker build -f docker/Dockerfile.cpu -t (\S+) ", content(DOCKERFILE))[1]
    user = image.user
    host = build(inline, scratch, (tag, image))

    addresses = {service["hostname"]: f"10.77.1.{n}" for n, service in enumerate(services.values(), 1)}
    with open(f"{host.root}/etc/hosts", "w", encoding="utf-8") as file:
        file.writelines(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **addresses}.items())
    anchors = {}
    for service in services.values():
        name, size = service["hostname"], service["shm_size"].removesuffix("b")
        set_up = f"hostname {name} && mount -t tmpfs -o size={size} shm {host.root}/dev/shm && ip link set lo up && echo && sleep inf"
        anchors[name] = subprocess.Popen(["unshare", "--net", "--uts", "--ipc", "--mount", "sh", "-c", set_up],
                                         stdout=subprocess.PIPE)
        anchors[name].stdout.readline()

    def enters(name):
        return ["nsenter", "-t", str(anchors[name].pid), "--net", "--uts", "--ipc", "--mount", "--"]

    first, second = anchors
    subprocess.run([*enters(first), "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns",
                    str(anchors[second].pid)], check=True)
    for name, address in addresses.items():
        subprocess.run([*enters(name), "sh", "-c", f"ip address add {address}/24 dev eth0 && ip link set eth0 up"],
                       check=True)
        subprocess.Popen([*enters(name), *host.enters(host.entry)])
    host.user = user
    [command] = re.findall(r"exec --user ganymede host1 \\\n# +(.*)\n", text)
    said = subprocess.run([*enters(first), *host.enters([*command.split(), "--steps", "20"])], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    print(said)
    assert f"4 ranks on 2 hosts ({first}, {second})" in said
    assert os.path.getsize(f"{host.root}/runs/two-hosts/generator.safetensors") > 0


def main():
    if os.environ.get("GANYMEDE_DOCKERFILE") != "inside":
        if os.geteuid() != 0:
            sys.exit("only root can make a Debian root")
        scratch = tempfile.mkdtemp(prefix="dockerfile.", dir="/var/tmp")
        os.chmod(scratch, 0o755)
        try:
            inside = ["unshare", "--mount-proc", "--pid", "--fork", "--kill-child", sys.executable, *sys.argv, scratch]
            return subprocess.run(inside, env=os.environ | {"GANYMEDE_DOCKERFILE": "inside"}, check=False).returncode
        finally:
            shutil.rmtree(scratch)
    scratch = sys.argv[3]
    context(f"{scratch}/context")
    image = build(content(DOCKERFILE), scratch)
    assert image.user != "root"
    for tool in ("g++", "cmake", "ninja"):
        assert not os.path.exists(f"{image.root}/usr/bin/{tool}"), f"{tool} is in the image"
    image.run(image.health)
    image.run([*image.entry, "train", "--steps", "20", "--out", "first"])
    image.run(["mpirun", "-n", "2", *image.entry, "train", "--steps", "20", "--out", "two"])
    for run in ("first", "two"):
        assert os.path.getsize(image.inside(f"{run}/generator.safetensors")) > 0
    check_module(image)
    if DOCKERFILE.endswith(".cpu"):
        check_compose(image, scratch)
    size = subprocess.run(["du", "-sxm", image.root], check=True, capture_output=True, text=True).stdout.split()[0]
    print(f"dockerfile.py: all steps of {DOCKERFILE} done, {size} MB in the last root")
    return 0


if __name__ == "__main__":
    sys.exit(main())
