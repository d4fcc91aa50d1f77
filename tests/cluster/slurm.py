"""A Slurm cluster on hosts made of namespaces: slurmctld on the host `control`, a slurmd on each node."""

import os
import re
import subprocess

from namespaces import Hosts, wait_until

PACKAGES = {"slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "srun": "slurm-wlm", "munged": "munge"}
# Seconds, and not minutes, between what happens and what Slurm does about it; two processors a node, whatever there
# are; no cgroups, which a container may not have.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=control
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/local/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/local/spool
TmpFS={folder}/local
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,kill_invalid_depend
KillWait=3
SlurmdTimeout=5
MessageTimeout=5
InactiveLimit=0
MinJobAge=300
ReturnToService=2
JobRequeue=1
OverTimeLimit=0
GresTypes=gpu
NodeName={nodes} CPUs=2 Gres=gpu:2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes={nodes} Default=YES MaxTime=INFINITE GraceTime=10
PartitionName=urgent Nodes={nodes} PriorityTier=10 MaxTime=INFINITE
"""


class Slurm:
    """Inside `with Slurm([...]) as slurm:` the nodes are idle and SLURM_CONF is set; `slurm.hosts` are control and
    nodes."""

    def __init__(self, nodes):
        folder = os.getcwd()
        self.nodes = nodes
        self.hosts = Hosts(["control", *nodes])
        self.control = self.hosts["control"]
        os.environ["SLURM_CONF"] = f"{folder}/slurm.conf"
        with open("slurm.conf", "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(folder=folder, nodes=",".join(nodes)))
        with open("cgroup.conf", "w", encoding="utf-8") as file:
            file.write("CgroupPlugin=cgroup/v1\n")
        with open("gres.conf", "w", encoding="utf-8") as file:
            file.write(f"AutoDetect=off\nName=gpu File={folder}/gpu[0-1]\n")
        for number in range(2):
            subprocess.run(["mknod", f"gpu{number}", "c", "1", "3"], check=True)
        with open("munge.key", "wb") as file:
            file.write(os.urandom(128))
        os.chmod("munge.key", 0o600)
        os.makedirs("state", exist_ok=True)
        for host in self.hosts.values():
            host.run("sh", "-c", "mkdir local/spool && install -m 600 munge.key local/munge.key")
        self.start_munged(self.control)
        self.control.service("slurmctld", "-D", "-f", f"{folder}/slurm.conf")
        for node in nodes:
            self.start_node(node)
        self.all_idle()

    def start_munged(self, host):
        local = f"{host.folder}/local/munge"
        host.service("munged", "--force", "--foreground", "--key-file", f"{local}.key", "--socket", f"{local}.socket",
                     "--pid-file", f"{local}.pid", "--log-file", f"{local}.log", "--seed-file", f"{local}.seed")

    def start_node(self, node):
        self.start_munged(self.hosts[node])
        self.hosts[node].service("slurmd", "-D", "-N", node, "-f", os.environ["SLURM_CONF"])

    def all_idle(self, seconds=60):
        wait_until(lambda: self.command("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == str(len(self.nodes)),
                   seconds, "all nodes are idle")

    def command(self, *words):
        return self.control.run(*words)

    def submit(self, *words):
        """sbatch; returns the job's number."""
        return self.command("sbatch", "--parsable", *words).strip()

    def state(self, job):
        """Such as RUNNING, and how often it was requeued."""
        said = self.command("scontrol", "show", "job", job)
        return re.search(r"JobState=(\w+)", said)[1], int(re.search(r"Restarts=(\d+)", said)[1])

    def ended(self, job, seconds):
        """Waits until the job is out of the queue; its state and its number of restarts."""
        ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        wait_until(lambda: self.state(job)[0] in ends, seconds, f"job {job} ends")
        return self.state(job)

    def processes(self):
        """{node: what runs there} of nodes where something of a job does."""
        return {name: found for name, found in self.hosts.processes().items() if name in self.nodes}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hosts.__exit__()
