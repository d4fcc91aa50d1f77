"""slurm_jobs.py PROGRAM LAUNCH FOLDER: the batch scripts of LAUNCH/slurm under a real Slurm of three nodes: whatever
Slurm does to a job, it ends in the weights of one process that nobody disturbed."""

import json
import os
import shutil
import signal
import sys
import unittest

import namespaces
import slurm
from namespaces import wait_until
from runs import step, training, weights

PROGRAM, LAUNCH, FOLDER = map(os.path.abspath, sys.argv[1:4])
STEPS = 300


class SlurmJobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.environ["GANYMEDE_LAUNCH"] = LAUNCH
        cls.slurm = cls.enterClassContext(slurm.Slurm(["n1", "n2", "n3"]))
        cls.slurm.control.run(PROGRAM, *training("alone", STEPS))

    def tearDown(self):
        self.slurm.command("scancel", "--user=root")
        self.slurm.all_idle()
        wait_until(lambda: self.slurm.processes() == {}, 30, f"no process is left on {self.slurm.processes()}")

    def submit(self, run, *options, script="cpu.sbatch", sbatch=(), nodes=3, words=None):
        """A job of a task on each node; options go to launch/slurm/job."""
        return self.slurm.submit(f"--nodes={nodes}", "--ntasks-per-node=1", "--cpus-per-task=1", *sbatch,
                                 f"{LAUNCH}/slurm/{script}", *options, *(words or training(run, STEPS)))

    def printed(self, job):
        with open(f"slurm-ganymede-{job}.out", encoding="utf-8") as file:
            return file.read()

    def completes(self, job, seconds=90):
        """Waits for the job's good end; how often it was requeued."""
        state, restarts = self.slurm.ended(job, seconds)
        self.assertEqual(state, "COMPLETED", self.printed(job))
        return restarts

    def crawl(self):
        """A few steps a second, so that a training is still there when Slurm comes to end it."""
        for node in self.slurm.nodes:
            self.slurm.hosts[node].slow_down("20mbit")

    def run_again(self):
        for node in self.slurm.nodes:
            self.slurm.hosts[node].full_speed()

    def test_three_nodes(self):
        for way in ("srun", "mpirun"):
            with self.subTest(way):
                job = self.submit(way, "--with", way)
                self.assertEqual(self.completes(job), 0)
                self.assertIn("3 ranks on 3 hosts (n1, n2, n3)", self.printed(job))
                self.assertEqual(weights(way), weights("alone"))

    def both_ways(self, run, *sbatch):
        """The same training under srun and under mpirun, side by side: {way: job}; each run's name has its way."""
        return {way: self.submit(f"{run}-{way}", "--with", way, sbatch=sbatch) for way in ("srun", "mpirun")}

    def test_time_limit(self):
        self.crawl()
        jobs = self.both_ways("limit", "--time=1", "--signal=B:USR1@50")
        wait_until(lambda: all(self.slurm.state(job)[1] == 1 for job in jobs.values()), 60,
                   "the jobs are requeued before their time is up")
        for way in jobs:
            self.assertGreater(step(f"limit-{way}"), 0)
            self.assertLess(step(f"limit-{way}"), STEPS)
        self.run_again()
        for way, job in jobs.items():
            run = f"limit-{way}"
            self.assertEqual(self.completes(job), 1)
            self.assertIn("the time is nearly up: back into the queue", self.printed(job))
            self.assertEqual(weights(run), weights("alone"))

    def preempt(self, jobs):
        """Others take the nodes of trainings that are under way; how often each job was requeued until its good end."""
        wait_until(lambda: all(step(run) > 0 for run in jobs), 60, "the trainings are under way")
        self.slurm.command("srun", "--partition=urgent", "--exclusive", "--nodes=3", "true")
        for run in jobs:
            self.assertLess(step(run), STEPS)
        self.run_again()
        for run, job in jobs.items():
            self.assertGreaterEqual(self.completes(job), 1, self.printed(job))
            self.assertEqual(weights(run), weights("alone"))

    def test_preemption(self):
        self.crawl()
        jobs = {f"preempted-{way}": job for way, job in self.both_ways("preempted").items()}
        self.preempt(jobs)
        # Under mpirun Slurm's TERM ends the daemons, and they the ranks: back to the last checkpoint.
        self.assertIn("with a complete checkpoint", self.printed(jobs["preempted-srun"]))

    def test_preemption_that_tells_the_batch_script(self):
        with open("slurm.conf", "a", encoding="utf-8") as file:
            file.write("SlurmctldParameters=preempt_send_user_signal\n")
        self.slurm.command("scontrol", "reconfigure")
        self.crawl()
        jobs = {"told": self.submit("told", "--with", "mpirun")}
        self.preempt(jobs)
        self.assertIn("with a complete checkpoint", self.printed(jobs["told"]))
        self.assertIn("preempted: back into the queue", self.printed(jobs["told"]))

    def node_lost(self, way, lost="n2", left="n1, n3"):
        """A job on n1 and n2, of which n1 runs its script, that loses one of them ends on those that are left; what it
        printed."""
        run = f"{lost}-lost-{way}"
        self.crawl()
        job = self.submit(run, "--with", way, nodes=2)
        wait_until(lambda: step(run) > 0, 60, "the training is under way")
        self.slurm.hosts[lost].power_off()
        self.run_again()
        self.assertGreaterEqual(self.completes(job), 1)
        self.assertIn(f"2 ranks on 2 hosts ({left})", self.printed(job))
        self.assertEqual(weights(run), weights("alone"))
        self.slurm.hosts.plug_in()
        self.slurm.start_node(lost)
        return self.printed(job)

    def test_node_lost_by_mpirun(self):
        self.assertIn("the connection to host n2 was lost", self.node_lost("mpirun"))

    def test_node_lost_by_srun(self):
        self.node_lost("srun")

    def test_the_scripts_own_node_lost(self):
        self.node_lost("srun", lost="n1", left="n2, n3")

    def test_scancel_leaves_nothing_behind(self):
        for way in ("srun", "mpirun"):
            with self.subTest(way):
                run = f"cancelled-{way}"
                job = self.submit(run, "--with", way, words=training(run, 1000000))
                wait_until(lambda run=run: step(run) > 0, 60, "the training is under way")
                self.slurm.command("scancel", job)
                self.assertEqual(self.slurm.ended(job, 20), ("CANCELLED", 0))
                wait_until(lambda: self.slurm.processes() == {}, 20, "no process is left")

    def launchers_of(self, program):
        """The launchers once more, for whom this script is the program."""
        tree = os.path.abspath(f"tree-{program}")
        os.makedirs(f"{tree}/launch/slurm")
        os.makedirs(f"{tree}/build/bin")
        for name in ("slurm/job", "mpirun", "common.sh"):
            shutil.copy(f"{LAUNCH}/{name}", f"{tree}/launch/{name}")
        shutil.copy(program, f"{tree}/build/bin/ganymede")
        os.chmod(f"{tree}/build/bin/ganymede", 0o755)
        return f"{tree}/launch"

    def test_a_job_that_is_lost_at_the_same_place_again_ends(self):
        # A rank that dies before its first checkpoint, each time.
        with open("dies", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nkill -9 $$\n")
        job = self.slurm.submit("--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1",
                                f"--export=ALL,GANYMEDE_LAUNCH={self.launchers_of('dies')}",
                                f"{LAUNCH}/slurm/cpu.sbatch", *training("never", STEPS))
        self.assertEqual(self.slurm.ended(job, 60), ("FAILED", 1))
        self.assertIn("with no new checkpoint since the last time: not tried once more", self.printed(job))

    def test_a_rank_that_is_stuck_before_the_ranks_meet(self):
        # The first time one of two; the job ends it, is requeued, and starts anew.
        with open("sticks", "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\n[ "$SLURM_PROCID $SLURM_RESTART_COUNT" != "1 " ] || kill -STOP $$\n'
                       f'exec {PROGRAM} "$@"\n')
        launch = self.launchers_of("sticks")
        job = self.submit("stuck", words=training("stuck", STEPS, "--timeout", "3"), nodes=2,
                          sbatch=[f"--export=ALL,GANYMEDE_LAUNCH={launch}"])
        wait_until(lambda: self.slurm.state(job)[0] == "RUNNING", 30, "the job runs")
        # The deadline, five seconds, and what Slurm takes to kill a task that is stopped (KillWait).
        wait_until(lambda: self.slurm.state(job)[1] == 1, 3 + 5 + 5, "the job is requeued")
        self.assertEqual(self.completes(job), 1)
        self.assertRegex(self.printed(job), "ganymede: nothing was completed for 3 s: in start-up, rank 0 on n1 waits "
                                            "for the others, of which one has not come or is out of reach")
        self.assertIn("a rank or its node was lost: back into the queue", self.printed(job))
        self.assertEqual(weights("stuck"), weights("alone"))

    def test_a_run_named_in_a_configuration_goes_on_after_each_loss(self):
        with open("lossy.ini", "w", encoding="utf-8") as file:
            file.write("out = lossy\n")
        words = training("lossy", STEPS)
        at = words.index("--out")
        self.crawl()
        job = self.submit("", "--with", "mpirun", words=[*words[:at], "--config", "lossy.ini", *words[at + 2:]])
        for losses in (1, 2):
            # A checkpoint later each time.
            wait_until(lambda losses=losses: step("lossy") > 60 * losses, 60, "the training is under way")
            [rank, *_] = [pid for pid, words in self.slurm.hosts["n2"].processes().items() if words.startswith(PROGRAM)]
            os.kill(rank, signal.SIGKILL)
            wait_until(lambda losses=losses: self.slurm.state(job)[1] == losses, 60, "the job is requeued")
        self.run_again()
        self.assertEqual(self.completes(job), 2)
        self.assertEqual(self.printed(job).count("a rank or its node was lost: back into the queue"), 2)
        self.assertEqual(weights("lossy"), weights("alone"))
        self.assertEqual([name for name in os.listdir() if name.endswith(".lost")], [])

    def test_ranks_in_images_start_the_images_own_program(self):
        os.makedirs("stand-in", exist_ok=True)
        with open("stand-in/apptainer", "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\n[ "$1 $2 $3" = "exec image.sif ganymede" ] || exit 9\nshift 3\nexec {PROGRAM} "$@"\n')
        os.chmod("stand-in/apptainer", 0o755)
        open("image.sif", "wb").close()
        for way in ("srun", "mpirun"):
            with self.subTest(way):
                run = f"image-{way}"
                job = self.submit(run, "--with", way, "--container", "image.sif",
                                  sbatch=[f"--export=ALL,PATH={os.path.abspath('stand-in')}:{os.environ['PATH']}"])
                self.assertEqual(self.completes(job), 0)
                self.assertEqual(weights(run), weights("alone"))

    def test_array_of_seeds(self):
        words = training("seeds/%a", STEPS, seed="%a")
        job = self.submit("", sbatch=["--array=5,7"], nodes=1, words=words)
        for seed in (5, 7):
            self.assertEqual(self.slurm.ended(f"{job}_{seed}", 60), ("COMPLETED", 0))
        self.assertEqual(weights("seeds/5"), weights("alone"))
        self.assertNotEqual(weights("seeds/7"), weights("alone"))

    def gpu_job(self, *words, sbatch=()):
        return self.slurm.submit("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", *sbatch,
                                 f"{LAUNCH}/slurm/gpu.sbatch", *words)

    def test_gpus_as_slurm_hands_them_out(self):
        # Pretended ones: what a task is told of them, and not that it computes on them. Told nothing, it sees all.
        for way, options, told in [("srun", [], ["0", "1"]), ("srun", ["--gpu-bind=none"], [None, None]),
                                   ("mpirun", [], ["0,1", "0,1"])]:
            with self.subTest(way=way, options=options):
                job = self.gpu_job("--with", way, "doctor", "--json", sbatch=options)
                self.completes(job)
                ranks = json.loads(self.printed(job))["ranks"]
                self.assertEqual([rank["host"] for rank in ranks], ["n1", "n1", "n2", "n2"])
                self.assertEqual([rank["environment"].get("CUDA_VISIBLE_DEVICES") for rank in ranks], told + told)
                self.assertEqual({rank["environment"]["SLURM_JOB_ID"] for rank in ranks}, {job})

    def test_a_training_on_gpu_nodes(self):
        jobs = {way: self.gpu_job("--with", way, *training(f"gpu-{way}", STEPS, "--device", "cpu"))
                for way in ("srun", "mpirun")}
        for way, job in jobs.items():
            self.assertEqual(self.completes(job), 0)
            self.assertIn("4 ranks on 2 hosts (n1, n2)", self.printed(job))
            self.assertEqual(weights(f"gpu-{way}"), weights("alone"))

    def test_tasks_without_pmix_say_how_to_start_them(self):
        # Every task fails alike; one speaks.
        output = self.slurm.control.run("srun", "--nodes=3", "--mpi=none", PROGRAM, *training("never", 3), code=4)
        said = [line for line in output.splitlines() if line.startswith("ganymede:")]
        self.assertEqual(said, ["ganymede: Slurm started 3 tasks without PMIx, so they cannot find each other: start "
                                "it with `srun --mpi=pmix`, or with `mpirun` inside the batch script"])
        self.assertFalse(os.path.exists("never"))

    def test_outside_a_job(self):
        output = self.slurm.control.run(f"{LAUNCH}/slurm/job", "train", code=4)
        self.assertEqual(output, "launch/slurm/job: this is no Slurm job: start it with sbatch launch/slurm/cpu.sbatch "
                                 "train\n")


if __name__ == "__main__":
    namespaces.require(namespaces.PACKAGES | slurm.PACKAGES)
    namespaces.enter(FOLDER)
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
