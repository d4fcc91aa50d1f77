"""Hosts on one machine, for tests: each is a set of namespaces with a network interface, a host name, an /etc/hosts, a
/dev/shm and an sshd of its own. All see the same files, but for a folder `local` that each has for itself. Everything
lives in namespaces of the test itself, and its scratch folder is a tmpfs there, so that whatever becomes of the test,
no process, interface, mount or file outlives it.

    enter("folder")                  # once, first: into the test's own namespaces
    with Hosts(["h1", "h2", "h3"]) as hosts:
        hosts["h1"].run("hostname")

Needs root and the packages of `launch/install --ci`; what is missing is said, and is a failure.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

PACKAGES = {"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "sshd": "openssh-server",
            "ssh-keygen": "openssh-client", "mpirun": "openmpi-bin"}


def require(packages):
    """Ends the test with what it needs, unless it is root and has the programs of {program: Debian package}."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.geteuid() != 0:
        sys.exit("this test makes network namespaces, for which it must be root: run it as root")
    missing = sorted({package for program, package in packages.items() if shutil.which(program) is None})
    if missing:
        sys.exit(f"this test needs packages that are not installed, which launch/install --ci brings: {missing}")


def enter(folder):
    """Runs the calling script in namespaces of its own, with an empty tmpfs as `folder`, which becomes its working
    directory. Returns in there alone; the process outside ends as the one inside does."""
    if os.environ.get("GANYMEDE_CLUSTER") != "inside":
        os.environ["GANYMEDE_CLUSTER"] = "inside"
        os.execvp("unshare", ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                              sys.executable, *sys.argv])
    os.makedirs(folder, exist_ok=True)
    call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    os.chdir(folder)
    # What the user's shell does, and says, when ssh starts it is none of the test's.
    startup = os.path.expanduser("~/.bashrc")
    if os.path.exists(startup):
        call("mount", "--bind", "/dev/null", startup)


def call(*words):
    subprocess.run(words, check=True)


def wait_until(condition, seconds, what):
    """Waits until condition() is true, and returns how long that took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - begin


class Host:
    """One host. Commands run as root, in the caller's working directory, with the caller's environment."""

    def __init__(self, name, number, folder):
        self.name, self.address, self.folder = name, f"10.77.0.{number}", folder
        self._services = []
        set_up = ('hostname "$0" && mount --bind "$1/hosts" /etc/hosts && '
                  "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && "
                  'mkdir -p "$1/local" && mount -t tmpfs tmpfs "$1/local" && '
                  "ip link set lo up && echo ready && exec sleep infinity")
        self._anchor = subprocess.Popen(
            ["unshare", "--net", "--uts", "--ipc", "--mount", "sh", "-c", set_up, name, folder],
            stdout=subprocess.PIPE, text=True)
        assert self._anchor.stdout.readline() == "ready\n", f"host {name} did not start"
        call("ip", "link", "add", f"to-{name}", "master", "switch", "up", "type", "veth", "peer", "name", "eth0",
             "netns", str(self._anchor.pid))
        self.run("sh", "-c", f"ip address add {self.address}/24 dev eth0 && ip link set eth0 up")

    def enters(self, *words):
        """The words that run a command here."""
        return ["nsenter", "-t", str(self._anchor.pid), "--net", "--uts", "--ipc", "--mount", f"--wdns={os.getcwd()}",
                "--", *words]

    def start(self, *words, **options):
        return subprocess.Popen(self.enters(*words), **options)

    def run(self, *words, code=0, timeout=60, **options):
        """Runs a command here, which must end with `code` in time; returns what it printed, both streams as one."""
        process = self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        return finish(process, code, timeout)

    def service(self, *words):
        """A process that belongs to the host and ends with it."""
        log = open(os.path.join(self.folder, f"{self.name}-{os.path.basename(words[0])}.log"), "ab")
        process = self.start(*words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self._services.append(process)
        return process

    def processes(self):
        """{process: command line} of what runs here beside the host's services and its sshd's sessions, which end when
        sshd finds that nobody is at their other end."""
        own = os.readlink(f"/proc/{self._anchor.pid}/ns/net")
        services = {self._anchor.pid, *(service.pid for service in self._services)}
        found = {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read()  # empty: a zombie
                if words and not words.startswith(b"sshd: ") and pid not in services and os.readlink(f"/proc/{pid}/ns/net") == own:
                    found[pid] = words.replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                pass  # it has ended meanwhile
        return found

    def pull_the_plug(self):
        """The link goes down: from now on nothing arrives, in either direction, and nobody is told."""
        call("ip", "link", "set", f"to-{self.name}", "down")

    def plug_in(self):
        call("ip", "link", "set", f"to-{self.name}", "up")

    def slow_down(self, rate):
        """What this host sends goes out no faster than `rate`, such as 10mbit."""
        self.run("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "128kb",
                 "latency", "50ms")

    def full_speed(self):
        self.run("tc", "qdisc", "del", "dev", "eth0", "root")

    def power_off(self):
        """As when the power fails: the link is dead and every process is gone, the services too."""
        self.pull_the_plug()
        for pid in [*self.processes(), *(service.pid for service in self._services)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for service in self._services:
            service.wait()
        self._services.clear()

    def start_sshd(self):
        self.service(shutil.which("sshd"), "-D", "-e", "-f", f"{self.folder}/sshd_config")


class Hosts(dict):
    """Hosts by name, joined by a switch. `ssh_command` reaches each of them from any other without a password."""

    def __init__(self, names):
        super().__init__()
        folder = os.getcwd()
        with open("hosts", "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
            file.writelines(f"10.77.0.{number} {name}\n" for number, name in enumerate(names, 1))
        self.ssh_command = f"ssh -F {folder}/ssh_config"
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
        with open("ssh_config", "w", encoding="utf-8") as file:
            file.write(f"IdentityFile {folder}/key\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\n"
                       "LogLevel ERROR\n")
        os.makedirs("temporary", exist_ok=True)
        with open("sshd_config", "w", encoding="utf-8") as file:
            file.write(f"HostKey {folder}/key\nAuthorizedKeysFile {folder}/key.pub\nStrictModes no\nUsePAM no\n"
                       "PermitRootLogin yes\nPidFile none\nPrintMotd no\nPrintLastLog no\n"
                       "ClientAliveInterval 1\nClientAliveCountMax 3\n"
                       f"SetEnv TMPDIR={folder}/temporary\n")
        os.environ["TMPDIR"] = f"{folder}/temporary"
        os.makedirs("/run/sshd", exist_ok=True)
        call("ip", "link", "add", "switch", "up", "type", "bridge")
        for number, name in enumerate(names, 1):
            self[name] = Host(name, number, folder)
            self[name].start_sshd()

    def processes(self):
        """{host: what runs there beside its services}, of hosts where something does."""
        return {name: found for name, host in self.items() if (found := host.processes())}

    def plug_in(self):
        """All links are up, and no host remembers that another could not be reached."""
        for host in self.values():
            host.plug_in()
        for host in self.values():
            host.run("ip", "neighbour", "flush", "dev", "eth0", "nud", "all")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.values():
            host.power_off()
            host._anchor.kill()
            host._anchor.wait()
        call("ip", "link", "delete", "switch")


def finish(process, code=0, timeout=60, stream="stdout"):
    """Waits for a process that writes to a pipe; it must end with `code` (None: any) in time. Returns what it printed
    to that stream."""
    try:
        streams = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        streams = process.communicate()
        raise AssertionError(f"no end within {timeout} s: {process.args}\n{streams}") from None
    output = streams[0 if stream == "stdout" else 1]
    assert code in (None, process.returncode), f"{process.args} ended with {process.returncode}, not {code}\n{output}"
    return output
