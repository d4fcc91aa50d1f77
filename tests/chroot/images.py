"""images.py SOURCE KIND: builds the image of docker/Dockerfile.KIND of the repository SOURCE with Docker, and does with
it what the Dockerfile's head says; with that for CPUs also what docker/compose.yaml says. Uses the engine that `docker`
reaches, else starts one. The base is a Debian root that debootstrap makes, or the image that GANYMEDE_BASE names. Needs
root where either is made, and the packages of `launch/install --long`; what is missing is said, and is a failure."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE, KIND = os.path.abspath(sys.argv[1]), sys.argv[2]
HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = {"cpu": "ganymede", "cuda": "ganymede-cuda"}[KIND]
ROOT = "ganymede-test-base"
CALLER = 4321  # neither root nor the image's user


def documented(file):
    """The commands in the comment at the file's head, each on one line."""
    with open(f"{SOURCE}/docker/{file}", encoding="utf-8") as text:
        head = re.match(r"(#.*\n)+", text.read())[0]
    lines = re.sub(r"^# ?", "", head, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.startswith("  ")]


COMMANDS = documented(f"Dockerfile.{KIND}")


def output(*words, **options):
    """What the command prints, without the newline at its end."""
    options = {"check": True, "stdout": subprocess.PIPE, "text": True} | options
    return subprocess.run(words, **options).stdout.strip()


def docker(*words, **options):
    return output("docker", *words, **options)


def succeeds(*words):
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.5)


@contextlib.contextmanager
def engine():
    """An engine that `docker` reaches. One that is started here ends with the test, and all that it held is removed."""
    if shutil.which("docker") is None:
        sys.exit("this test builds images and needs Docker, which launch/install --long brings")
    if succeeds("docker", "info"):
        for image in (IMAGE, "ganymede-host", ROOT):
            if docker("images", "--quiet", image):
                sys.exit(f"this test would replace this Docker engine's image {image}: docker rmi {image} removes it")
        yield
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        sys.exit("this test needs a Docker engine: `docker info` reaches none, and only root can start one, by "
                 "dockerd, which launch/install --long brings")
    folder = tempfile.mkdtemp(prefix="ganymede-docker.", dir="/var/tmp")
    os.environ["DOCKER_HOST"] = f"unix://{folder}/socket"
    with open(f"{folder}/log", "w", encoding="utf-8") as log:
        # It ends with this test however that ends.
        daemon = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "dockerd", "--host", os.environ["DOCKER_HOST"],
                                   "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
                                   "--pidfile", f"{folder}/pid"], stdout=log, stderr=log)
    try:
        wait_until(lambda: daemon.poll() is not None or succeeds("docker", "info"), 60, "a Docker engine that answers")
        if daemon.poll() is not None:
            with open(f"{folder}/log", encoding="utf-8") as log:
                sys.exit("this test needs a Docker engine, and dockerd does not start here: " + log.readlines()[-1])
        yield
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(folder)


@contextlib.contextmanager
def debian():
    """The name of an image to build on."""
    if "GANYMEDE_BASE" in os.environ:
        yield os.environ["GANYMEDE_BASE"]
        return
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("this test makes a Debian root to build the image on, as root and by debootstrap, which "
                 "launch/install --long brings; GANYMEDE_BASE names an image to build on in its place")
    with tempfile.TemporaryDirectory(prefix="debian.", dir="/var/tmp") as scratch:
        root = f"{scratch}/root"
        subprocess.run(["unshare", "--mount", f"{HERE}/debian_root", root], check=True)
        # On a network whose certificates are its own, pip there is told of them as pip here is.
        if "PIP_CERT" in os.environ:
            shutil.copy(os.environ["PIP_CERT"], f"{root}/etc/pip-cert.pem")
            with open(f"{root}/etc/pip.conf", "w", encoding="utf-8") as file:
                file.write("[global]\ncert = /etc/pip-cert.pem\n")
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            docker("import", "-", ROOT, stdin=tar.stdout)
    try:
        yield ROOT
    finally:
        docker("rmi", ROOT)


@contextlib.contextmanager
def built(command, base):
    """The image, built by the documented command."""
    assert command == f"docker build -f docker/Dockerfile.{KIND} -t {IMAGE} .", command
    if subprocess.run([*command.split(), "--build-arg", f"BASE={base}"], check=False, cwd=SOURCE).returncode != 0:
        sys.exit(f"{command} failed, in {SOURCE}; its words are above")
    try:
        yield
    finally:
        docker("rmi", IMAGE)


class Image(unittest.TestCase):
    """Each test has an empty folder, of an ordinary user."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="image.", dir="/var/tmp"))
        os.chmod(self.folder, 0o755)
        self.assertEqual(self.does(COMMANDS[1]).returncode, 0)
        os.chown(f"{self.folder}/runs", CALLER, CALLER)

    def does(self, command):
        """Runs a documented command in the test's folder, where `id` says that the user is CALLER."""
        done = subprocess.run(["bash", "-c", f"id() {{ echo {CALLER}; }}; {command}"], cwd=self.folder, check=False,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(f"$ {command}\n{done.stdout}", flush=True)
        return done

    def trained(self, run):
        """The run is complete, and its files are the caller's."""
        weights = os.stat(f"{self.folder}/runs/{run}/generator.safetensors")
        self.assertGreater(weights.st_size, 0)
        self.assertEqual(weights.st_uid, CALLER)

    def test_nothing_to_build_with_is_in_it_and_it_runs_as_no_root(self):
        self.assertEqual(docker("run", "--rm", "--entrypoint", "id", IMAGE, "--user", "--name"), "ganymede")
        there = docker("run", "--rm", "--entrypoint", "sh", IMAGE, "-c",
                       "for tool in g++ cmake ninja nvcc mpirun; do command -v $tool; done; pwd", check=False)
        self.assertEqual(there.splitlines(), ["/opt/ganymede/share/ganymede/launch/mpirun", "/runs"])
        print(f"{IMAGE}: {int(docker('image', 'inspect', '--format', '{{.Size}}', IMAGE)) / 1e6:.0f} MB")


class ImageForCpus(Image):
    def test_trains_as_documented(self):
        self.assertEqual([command.split()[-1] for command in COMMANDS[2:]], ["first", "four"])
        for command in COMMANDS[2:]:
            self.assertEqual(self.does(f"{command} --steps 20").returncode, 0)
            self.trained(command.split()[-1])

    def detached(self, command):
        """The container that the documented command, on and on, runs in."""
        command = command.replace("--rm", "--detach --health-interval 2s")
        container = self.does(f"{command} --steps 1000000000").stdout.strip()
        self.addCleanup(docker, "rm", "--force", container)
        records = f"{self.folder}/runs/{command.split()[-1]}/metrics.jsonl"
        wait_until(lambda: os.path.exists(records) and os.path.getsize(records) > 0, 300, "a training under way")
        return container

    def test_is_healthy_where_its_folder_can_be_written(self):
        def health(container):
            return docker("inspect", "--format", "{{.State.Health.Status}}", container)

        training = self.detached(COMMANDS[2])
        wait_until(lambda: health(training) == "healthy", 120, "a training that is healthy")
        # Nothing is mounted, and /runs is another user's.
        other = docker("run", "--detach", "--health-interval", "2s", "--user", str(CALLER), "--entrypoint", "sleep",
                       IMAGE, "inf")
        self.addCleanup(docker, "rm", "--force", other)
        wait_until(lambda: health(other) == "unhealthy", 120, "a container that is not")

    def test_saves_when_it_is_stopped_and_goes_on(self):
        for command in COMMANDS[2:]:
            run = command.split()[-1]
            container = self.detached(command)
            docker("stop", "--time", "60", container)
            self.assertEqual(docker("inspect", "--format", "{{.State.ExitCode}}", container), "75")
            [saved] = os.listdir(f"{self.folder}/runs/{run}/checkpoints")
            step = int(saved.removeprefix("step-"))
            resumed = self.does(f"{command} --resume --steps {step + 20}")
            self.assertEqual(resumed.returncode, 0)
            self.assertIn(saved, resumed.stdout)
            self.trained(run)

    def test_hosts_of_the_compose_file(self):
        commands = documented("compose.yaml")
        if not succeeds("docker", "compose", "version"):
            if shutil.which("docker-compose") is None:
                self.fail("neither `docker compose` nor docker-compose is here; launch/install --long brings one")
            commands = [command.replace("docker compose", "docker-compose") for command in commands]
        file = "docker/compose.yaml"
        up, train, down = (command.replace(f"-f {file}", f"-f {SOURCE}/{file}") for command in commands)
        self.addCleanup(docker, "rmi", "ganymede-host")
        self.addCleanup(self.does, down)
        self.assertEqual(self.does(up).returncode, 0)
        # Without a terminal, of which docker-compose must be told.
        trained = self.does(f"{train.replace(' exec ', ' exec -T ')} --steps 20")
        self.assertEqual(trained.returncode, 0)
        self.assertIn("4 ranks on 2 hosts (host1, host2)", trained.stdout)
        for host in ("host1", "host2"):
            seen = self.does(f"{train.partition('--user')[0].replace(' exec ', ' exec -T ')} {host} ls /runs/two-hosts")
            self.assertIn("generator.safetensors", seen.stdout.split())
        self.assertEqual(self.does(down).returncode, 0)


class ImageForGpus(Image):
    """Where there is no GPU: all of the backend is there but the driver, which comes from the host."""

    def test_says_that_the_driver_is_missing(self):
        training = COMMANDS[2].replace("--gpus all ", "")
        asked = self.does(training)
        self.assertEqual(asked.returncode, 4)
        self.assertRegex(asked.stdout, r"^ganymede: there is no NVIDIA driver here .*--gpus all.*\n$")
        self.assertIn("GPU: none", self.does(training.partition(" train ")[0] + " doctor").stdout)
        module = docker("run", "--rm", "--entrypoint", "sh", IMAGE, "-c",
                        "ldd $(find /opt/ganymede -name libganymede_cuda.so)")
        self.assertIn("libcublasLt", module)
        self.assertNotIn("not found", module)

    def test_trains_on_the_cpu_where_there_is_no_gpu(self):
        command = COMMANDS[2].replace("--gpus all ", "").replace("--device cuda", "--device auto")
        trained = self.does(f"{command} --steps 20")
        self.assertEqual(trained.returncode, 0)
        self.assertRegex(trained.stdout, "device +CPU")
        self.trained(command.split()[-1])


if __name__ == "__main__":
    case = {"cpu": "ImageForCpus", "cuda": "ImageForGpus"}[KIND]
    with engine(), debian() as name, built(COMMANDS[0], name):
        succeeded = unittest.main(argv=sys.argv[:1] + (sys.argv[3:] or [case]), exit=False).result.wasSuccessful()
    sys.exit(not succeeded)
