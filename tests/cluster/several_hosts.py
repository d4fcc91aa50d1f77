"""several_hosts.py PROGRAM LAUNCH FAILING_CALLS FOLDER: trainings over three hosts, and what becomes of them when a host
or its link is lost, slow or stands still. PROGRAM is ganymede, LAUNCH the folder of the launchers, FAILING_CALLS the
library of tests/support/failing_calls."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import namespaces
from namespaces import Hosts, finish, wait_until
from runs import snapshot, step, training, weights

PROGRAM, LAUNCH, FAILING_CALLS, FOLDER = map(os.path.abspath, sys.argv[1:5])
HOSTS = ["h1", "h2", "h3"]
STEPS = 200
ENDLESS = 1_000_000_000


class SeveralHosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = cls.enterClassContext(Hosts(HOSTS))
        cls.hosts["h1"].run(PROGRAM, *training("alone", STEPS))

    def tearDown(self):
        self.hosts.plug_in()
        left = self.hosts.processes()
        for pid in (pid for processes in left.values() for pid in processes):
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, {})

    def mpirun(self, hosts, words):
        """What starts a rank on each of the hosts, from the first."""
        return [f"{LAUNCH}/mpirun", "--mca", "plm_rsh_agent", self.hosts.ssh_command, "--host",
                ",".join(f"{host}:1" for host in hosts), PROGRAM, *words]

    def under_way(self, hosts, run, steps, *more, start=None):
        """A training with a rank on each of the hosts, that has made 50 steps."""
        started = self.hosts[hosts[0]].start(*(start or self.mpirun)(hosts, training(run, steps, *more)),
                                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: step(run) >= 50 or started.poll() is not None, 30, "step 50")
        self.assertIsNone(started.poll())
        return started

    def ends(self, started, lose, says, seconds):
        """After lose() the job ends in time with code 6 and one sentence, and no process of it is left on any host."""
        lose()
        begin = time.monotonic()
        said = finish(started, code=6, timeout=30, stream="stderr")
        wait_until(lambda: self.hosts.processes() == {}, max(0.1, begin + seconds - time.monotonic()),
                   f"no process left: {self.hosts.processes()}")
        self.assertRegex(said, f"^(ganymede|launch/mpirun): {says}.*omplete checkpoints stand.*\\n$")

    def goes_on(self, hosts, run):
        self.hosts[hosts[0]].run(*self.mpirun(hosts, training(run, STEPS, "--resume")))
        self.assertEqual(weights(run), weights("alone"))

    # Two ways to find out: the launcher's, which names the host, and, where the deadline is shorter than the some four
    # seconds of that one, the watchdogs'.
    LOST = "the connection to host h3 was lost;"
    DEADLINE = 2
    SILENT = f"nothing was completed for {DEADLINE} s: rank 2 on h3 holds the others up .* cut off; .* only wait."

    def test_link_down(self):
        started = self.under_way(HOSTS, "cut", STEPS)
        self.ends(started, self.hosts["h3"].pull_the_plug, self.LOST, 15)
        self.goes_on(["h1", "h2"], "cut")

    def test_link_down_seen_by_the_watchdogs(self):
        started = self.under_way(HOSTS, "unseen", ENDLESS, "--timeout", str(self.DEADLINE))
        self.ends(started, self.hosts["h3"].pull_the_plug, self.SILENT, self.DEADLINE + 5)

    def test_first_host_cut_off(self):
        started = self.under_way(HOSTS, "headless", STEPS, "--timeout", str(self.DEADLINE))
        # What is said there is that host's view: all others are out of reach.
        self.ends(started, self.hosts["h1"].pull_the_plug,
                  "nothing was completed for 2 s: rank 1 on h2 holds the others up .* cut off; so is rank 2; rank 0 only",
                  self.DEADLINE + 5)
        self.goes_on(["h2", "h3"], "headless")

    def test_host_powered_off(self):
        for run, says, seconds, options in [
            ("dark", self.LOST, 15, []), ("black", self.SILENT, self.DEADLINE + 5, ["--timeout", str(self.DEADLINE)]),
        ]:
            with self.subTest(run):
                started = self.under_way(HOSTS, run, ENDLESS, *options)
                self.ends(started, self.hosts["h3"].power_off, says, seconds)
                self.hosts.plug_in()
                self.hosts["h3"].start_sshd()
        self.goes_on(["h1", "h2"], "dark")

    def test_rank_killed_alone_on_its_host(self):
        def kill():
            for pid in self.ranks("h2"):
                os.kill(pid, signal.SIGKILL)
        started = self.under_way(HOSTS, "killed", ENDLESS)
        self.ends(started, kill, "rank 1 on h2 died of signal 9;", 15)

    def test_rank_stopped_alone_on_its_host(self):
        def stop():
            for pid in self.ranks("h2"):
                os.kill(pid, signal.SIGSTOP)
        started = self.under_way(HOSTS, "stopped", ENDLESS, "--timeout", str(self.DEADLINE))
        # None of its host is left to see why it is silent.
        self.ends(started, stop, "nothing was completed for 2 s: rank 1 on h2 holds the others up in or before step .* it "
                                 "does not answer, as it is stopped, dead or cut off; ranks 0 and 2 only wait.",
                  self.DEADLINE + 5)

    def ranks(self, host):
        return [pid for pid, words in self.hosts[host].processes().items() if words.startswith(PROGRAM)]

    def test_without_the_launcher_mpirun_alone_stays(self):
        # Without keepalive nobody tells a daemon that it is cut off: the watchdogs end the ranks, and the daemon.
        def mpirun(hosts, words):
            at_root = ["env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"]
            _, *rest = self.mpirun(hosts, words)
            return [*at_root, "mpirun", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", *rest]
        started = self.under_way(HOSTS, "plain", ENDLESS, "--timeout", str(self.DEADLINE), start=mpirun)
        self.hosts["h3"].pull_the_plug()
        wait_until(lambda: set(self.hosts.processes()) <= {"h1"} and not self.ranks("h1"), self.DEADLINE + 5,
                   f"only mpirun is left: {self.hosts.processes()}")
        for pid in [*self.hosts["h1"].processes()]:
            os.kill(pid, signal.SIGKILL)
        said = started.communicate()[1]
        self.assertEqual(said.count("holds the others up"), 1, said)
        self.assertRegex(said, self.SILENT)

    def test_short_outage_and_slow_link_only_slow(self):
        # Nothing is completed while the link is down; then steps take so long that many deadlines pass.
        started = self.under_way(HOSTS, "slow", STEPS, "--timeout", str(self.DEADLINE))
        self.hosts["h2"].pull_the_plug()
        time.sleep(1)
        self.hosts["h2"].slow_down("20mbit")
        self.addCleanup(self.hosts["h2"].full_speed)
        self.hosts["h2"].plug_in()
        before, begin = step("slow"), time.monotonic()
        self.assertEqual(finish(started, timeout=120, stream="stderr"), "")
        self.assertEqual(weights("slow"), weights("alone"))
        rate = (STEPS - before) / (time.monotonic() - begin)
        self.assertLess(rate, 30, "the link is as slow as it should be")

    def test_full_disk_ends_the_training_and_its_checkpoints_stand(self):
        h1 = self.hosts["h1"]
        os.makedirs("small", exist_ok=True)
        h1.run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", "small")
        self.addCleanup(h1.run, "umount", "small")
        said = h1.run(*self.mpirun(HOSTS, training("small/run", ENDLESS, "--keep", "0")), code=3)
        # A checkpoint, or a record beside it.
        self.assertRegex(said, "ganymede: .*cannot be written: (No space left on device|only .* found room on the disk)")
        saved = h1.run("ls", "-A", "small/run/checkpoints").split()
        self.assertRegex(saved[-1], "^step-00000(100|150)$")
        h1.run("mount", "-o", "remount,size=64m", "small")
        resumed = h1.run(*self.mpirun(HOSTS, training("small/run", STEPS, "--resume")))
        self.assertIn(f"resumed from {saved[-1]}", resumed)
        h1.run("cp", "-r", "small/run", "had_room")
        self.assertEqual(weights("had_room"), weights("alone"))

    def test_cut_off_rank_0_cannot_publish(self):
        # The first host stands still, as a virtual machine may, at the worst moment: its rank 0 has seen that the
        # folder is its own, and is about to give a checkpoint its name.
        run = "fenced"
        old = self.hosts["h1"].start(
            *self.mpirun(HOSTS, training(run, ENDLESS, "--timeout", str(self.DEADLINE), "--keep", "1")),
            env=os.environ | {"LD_PRELOAD": FAILING_CALLS,
                              "GANYMEDE_FAILING_CALLS": f"{run}/checkpoints/step-00000150:0:0:-2000"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: os.path.exists(f"{run}/checkpoints/.step-00000150.partial-1/manifest.json"), 60, "a rename")
        frozen = []
        for pid in [*self.hosts["h1"].processes()]:
            with contextlib.suppress(ProcessLookupError):  # a shell's sleep comes and goes
                os.kill(pid, signal.SIGSTOP)
                frozen.append(pid)
        self.hosts["h1"].pull_the_plug()
        wait_until(lambda: set(self.hosts.processes()) == {"h1"}, 15, "the others end")
        # What a lock server does that gives up a client: the same file, and nobody's lock.
        shutil.copy(f"{run}/.lock", "copy")
        os.rename("copy", f"{run}/.lock")
        self.hosts["h2"].run(*self.mpirun(["h2", "h3"], training(run, STEPS, "--resume", "--keep", "1")))
        self.assertEqual(weights(run), weights("alone"))

        before = snapshot(run)
        self.assertIn("checkpoints/step-00000200/manifest.json", before)
        self.hosts["h1"].plug_in()
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):  # a shell that goes on first may end its own sleep
                os.kill(pid, signal.SIGCONT)
        said = finish(old, code=None, timeout=30, stream="stderr")
        self.assertIn(old.returncode, (3, 6), said)
        self.assertEqual(snapshot(run), before)

    def test_slow_rank_is_named_when_it_begins_and_at_the_end(self):
        words = training("uneven", ENDLESS, "--drift-every", "100", "--batch", "3000")
        with open("uneven.txt", "w", encoding="utf-8") as output:
            started = self.hosts["h1"].start(*self.mpirun(HOSTS, words), stdout=output, stderr=output)
        wait_until(lambda: step("uneven") > 0, 30, "the training is under way")

        def said(what):
            with open("uneven.txt", encoding="utf-8") as output:
                return re.findall(what, output.read())
        [slow] = self.ranks("h2")
        begins = "warning: (rank .*) is slower than the others, which wait for it: its part of a step takes .* ms"
        # A third of the time is left to it, until it has been named and as many steps have passed once more.
        limit = time.monotonic() + 200
        enough = ENDLESS
        while time.monotonic() < limit and step("uneven") < enough:
            if enough == ENDLESS and said(begins):
                enough = 2 * step("uneven") + 110
            os.kill(slow, signal.SIGSTOP)
            time.sleep(0.03)
            os.kill(slow, signal.SIGCONT)
            time.sleep(0.015)
        self.assertEqual(said(begins), ["rank 1 on h2"])
        started.send_signal(signal.SIGUSR1)
        self.assertEqual(started.wait(30), 75, said(".*"))
        [found] = said(r"rank 1 on h2 was slower than the others, which waited for it, in (\d+) of (\d+) comparisons")
        slower, compared = map(int, found)
        self.assertGreaterEqual(slower, 2, said(".*"))
        self.assertGreaterEqual(compared, slower, said(".*"))

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

    def test_mpirun_hosts_asks_the_agent_for_names_that_it_alone_knows(self):
        output = self.mpirun_hosts("--host", "no-such-host", "--check", "ganymede", "train", code=4)
        self.assertIn("host no-such-host cannot be reached", output)

    def test_mpirun_hosts_takes_no_options_value_for_the_program(self):
        os.makedirs("ganymede", exist_ok=True)
        self.mpirun_hosts("--host", "h1,h2", "--wdir", os.path.abspath("ganymede"), "ganymede",
                          *training("elsewhere", STEPS))
        self.assertEqual(weights("ganymede/elsewhere"), weights("alone"))

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

        with open("ends_early", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{self.hosts.ssh_command} \"$@\" | head -n 1\n")
        os.chmod("ends_early", 0o755)
        output = self.mpirun_hosts("--agent", os.path.abspath("ends_early"), *start, code=4)
        self.assertRegex(output, "^launch/mpirun-hosts: host h2 answered, but has not looked at .*/ganymede within 30 s: ")

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
        begin = time.monotonic()
        found = self.doctor()
        fast = time.monotonic() - begin
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
        # Two seconds of sums, whatever the link: the doctor sums less over this one.
        self.assertLess(time.monotonic() - begin - fast, 5)
        said = "\n".join(finding["what"] for finding in found["findings"])
        self.assertRegex(said, r"a sum of [0-9.]+ [KM]iB over the hosts moves .*, 0 % of what their interfaces give")
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
    unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=2)
