"""several_hosts.py PROGRAM LAUNCH FOLDER: trainings over three hosts, and what becomes of them when a host is lost.
PROGRAM is ganymede, LAUNCH the folder of the launchers."""

import json
import os
import subprocess
import sys
import time
import unittest

import namespaces
from namespaces import Hosts, finish, wait_until
from runs import records, step, training, weights

PROGRAM, LAUNCH, FOLDER = map(os.path.abspath, sys.argv[1:4])
STEPS = 200


class SeveralHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts(["h1", "h2", "h3"]))
        cls.hosts["h1"].run(PROGRAM, *training("alone", STEPS))

    def tearDown(self):
        for host in self.hosts.values():
            host.plug_in()
        self.assertEqual(self.hosts.processes(), {})

    def mpirun(self, hosts, words):
        """What starts a rank on each of the hosts, from the first."""
        return [f"{LAUNCH}/mpirun", "--mca", "plm_rsh_agent", self.hosts.ssh_command, "--host",
                ",".join(f"{host}:1" for host in hosts), PROGRAM, *words]

    def ends_and_goes_on(self, run, lose):
        """A training over h1 to h3 ends soon after lose() and goes on on h1 and h2."""
        started = self.hosts["h1"].start(*self.mpirun(["h1", "h2", "h3"], training(run, STEPS)),
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: step(run) >= 50 or started.poll() is not None, 30, "step 50")
        lose()
        begin = time.monotonic()
        output = finish(started, code=6, timeout=30)
        took = time.monotonic() - begin
        self.assertLess(step(run), STEPS)
        self.assertLess(took, 15)
        self.assertIn("launch/mpirun: the connection to host h3 was lost; its complete checkpoints stand", output)
        self.assertNotIn("-----", output)
        wait_until(lambda: self.hosts.processes() == {}, 15, f"no process left: {self.hosts.processes()}")
        self.hosts["h1"].run(*self.mpirun(["h1", "h2"], training(run, STEPS, "--resume")))
        self.assertEqual(weights(run), weights("alone"))

    def test_link_down(self):
        self.ends_and_goes_on("cut", self.hosts["h3"].pull_the_plug)

    def test_host_powered_off(self):
        self.ends_and_goes_on("dark", self.hosts["h3"].power_off)
        self.hosts["h3"].start_sshd()

    def test_slow_link_only_slows(self):
        self.hosts["h1"].run(*self.mpirun(["h1", "h2"], training("fast", 30)))
        self.hosts["h2"].slow_down("50mbit")
        self.addCleanup(self.hosts["h2"].full_speed)
        self.hosts["h1"].run(*self.mpirun(["h1", "h2"], training("slow", 30)))
        self.assertEqual(weights("slow"), weights("fast"))
        self.assertGreater(records("slow")[-1]["seconds"], 2 * records("fast")[-1]["seconds"])

    def test_discriminators_sum_runs_beside_generators_forward_pass(self):
        # A D of 200 kB, for 4 ms of the links, and a G that takes several times as long.
        for host in ("h1", "h2"):
            self.hosts[host].slow_down("400mbit")
            self.addCleanup(self.hosts[host].full_speed)
        output = self.hosts["h1"].run(*self.mpirun(["h1", "h2"], [
            "bench", "--json", "--threads", "1", "--batch", "2000", "--generator-hidden", "512,512",
            "--discriminator-hidden", "64", "--rounds", "5", "--round-steps", "3"]), timeout=120)
        found = json.loads(output)["discriminator_sum"]
        self.assertGreater(found["hidden_share"], 0.6, found)

    def mpirun_hosts(self, *words, code=0):
        return self.hosts["h1"].run(f"{LAUNCH}/mpirun-hosts", "--agent", self.hosts.ssh_command, *words, code=code)

    def test_mpirun_hosts(self):
        with open("hostfile", "w", encoding="utf-8") as file:
            file.write("# three ranks\nh1 slots=1\nh2\nh3 slots = 1 max_slots=4  # the third\n")
        output = self.mpirun_hosts("--hostfile", "hostfile", "ganymede", *training("listed", STEPS))
        self.assertIn("3 hosts are ready: h1:1,h2,h3:1, ganymede", output)
        self.assertIn("3 ranks on 3 hosts (h1, h2, h3)", output)
        self.assertEqual(weights("listed"), weights("alone"))
        # By address, a set that the environment names, and a folder that each host has for itself.
        os.makedirs("data", exist_ok=True)
        os.symlink(os.path.join(os.path.dirname(PROGRAM), "../share/ganymede/data/mnist-mini"), "data/mnist-mini")
        output = self.hosts["h1"].run(
            f"{LAUNCH}/mpirun-hosts", "--agent", self.hosts.ssh_command, "--host", "10.77.0.1,10.77.0.2", "ganymede",
            *training("local/run", 3), env=os.environ | {"GANYMEDE_DATA": os.path.abspath("data")})
        self.assertIn("local/run is not seen on 10.77.0.2: results gather on 10.77.0.1", output)
        self.assertIn(os.path.abspath("data/mnist-mini"), output)
        self.hosts["h1"].run("test", "-s", "local/run/generator.safetensors")

    def test_mpirun_hosts_says_what_is_wrong(self):
        start = ["--host", "h1,h2,h3", "ganymede", *training("never", 3)]
        h2, h3 = self.hosts["h2"], self.hosts["h3"]
        h2.pull_the_plug()
        with open("other", "wb") as file:
            file.write(b"#!/bin/sh\necho ganymede 0.0.9\n")
        os.chmod("other", 0o755)
        h3.run("mount", "--bind", "other", PROGRAM)
        output = self.mpirun_hosts(*start, code=4)
        h2.plug_in()
        h3.run("umount", PROGRAM)
        self.assertRegex(output, r"launch/mpirun-hosts: host h2 cannot be reached \(.*\): .* must work without a pass")
        self.assertRegex(output, r"launch/mpirun-hosts: host h3 has another program at .* \(ganymede 0\.0\.9, here gan")
        self.assertEqual(len(output.splitlines()), 2)

        h3.run("mount", "-t", "tmpfs", "tmpfs", os.path.dirname(PROGRAM))
        output = self.mpirun_hosts(*start, code=4)
        h3.run("umount", os.path.dirname(PROGRAM))
        self.assertRegex(output, "^launch/mpirun-hosts: host h3 has no .*/ganymede: put the same build at the same")
        self.assertFalse(os.path.exists("never"))

        self.assertIn("3 hosts are ready", self.mpirun_hosts("--check", *start))
        self.assertFalse(os.path.exists("never"))
        for words, says in [
            (start[2:], "no host is named"), (["--host", "h1:0", "ganymede"], "names no host"),
            (["--host", "h1"], "no program is named"), (["--hostfile", "none", "ganymede"], "cannot be read"),
        ]:
            self.assertIn(says, self.mpirun_hosts(*words, code=2))

    def doctor(self, *words, code=0, out="runs"):
        start, *rest = self.mpirun(["h1", "h2"], ["doctor", "--json", "--out", out, *words])
        network = [word for room in ("btl", "oob") for word in ("--mca", f"{room}_tcp_if_include", "10.77.0.0/24")]
        return json.loads(self.hosts["h1"].run(start, *network, *rest, code=code))

    def test_doctor(self):
        h2 = self.hosts["h2"]
        found = self.doctor()
        self.assertEqual([rank["host"] for rank in found["ranks"]], ["h1", "h2"])
        self.assertEqual([(i["name"], i["address"], i["prefix"]) for i in found["ranks"][1]["interfaces"]],
                         [("eth0", "10.77.0.2", 24)])
        self.assertGreater(found["all_reduce"]["bytes_per_second"], 0)
        self.assertLess(abs(found["clocks_ahead_seconds"][1]), 1)
        self.assertEqual(found["folder"]["not_seen_on"], [])

        # 20 of 10 000 Mbit/s, an interface that every host has, a folder that each has for itself.
        for host in ("h1", "h2"):
            self.hosts[host].slow_down("20mbit")
            self.addCleanup(self.hosts[host].full_speed)
            self.hosts[host].run("sh", "-c", "ip link add docker0 type bridge && "
                                 "ip address add 172.17.0.1/16 dev docker0 && ip link set docker0 up")
            self.addCleanup(self.hosts[host].run, "ip", "link", "delete", "docker0")
        begin = time.monotonic()
        found = self.doctor(out="local/run")
        self.assertLess(time.monotonic() - begin, 30)
        said = "\n".join(finding["what"] for finding in found["findings"])
        self.assertRegex(said, "a sum of 4 MiB over the hosts moves .*, 0 % of what their interfaces give")
        self.assertIn("hosts h1 and h2 have the same address 172.17.0.1 on docker0", said)
        self.assertIn("local/run (tmpfs) is not seen on h2", said)

    def test_doctor_finds_broken_hosts(self):
        h2 = self.hosts["h2"]
        h2.run("mount", "-o", "remount,size=1m", "/dev/shm")
        output = self.hosts["h1"].run(f"{LAUNCH}/mpirun", "--mca", "plm_rsh_agent", self.hosts.ssh_command, "--host",
                                      "h1:1,h2:2", PROGRAM, "doctor")
        h2.run("mount", "-o", "remount,size=1g", "/dev/shm")
        self.assertRegex(output, r"warning +/dev/shm of h2 has .* free of 1 MiB, for 2 ranks")
        self.assertIn("--shm-size=256m", output)

        with open(PROGRAM, "rb") as file, open("rebuilt", "wb") as other:
            other.write(file.read() + b"another build")
        os.chmod("rebuilt", 0o755)
        h2.run("mount", "--bind", "rebuilt", PROGRAM)
        found = self.doctor(code=4)
        h2.run("umount", PROGRAM)
        self.assertEqual(found["findings"][0]["severity"], "error")
        self.assertIn("rank 0 on h1 runs another build of the program than ranks on h2", found["findings"][0]["what"])

        os.makedirs("sealed", exist_ok=True)
        self.hosts["h1"].run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "sealed")
        found = self.doctor(code=4, out="sealed/run")
        self.hosts["h1"].run("umount", "sealed")
        self.assertRegex(found["findings"][0]["what"], "nothing can be written to .*/sealed .* on h1: Read-only file")


if __name__ == "__main__":
    namespaces.require(namespaces.PACKAGES)
    namespaces.enter(FOLDER)
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
