#!/usr/bin/env bash
# Slurm on this machine alone, and the tests that need it: bash tests/launch/slurm.sh [start|stop|test]
# start, on Debian and as root: installs slurm-wlm and munge where they are missing, writes a configuration for one
# node, starts the daemons; does nothing twice. stop ends them. test, the default: start, and then the tests.
# Needs neither systemd nor cgroups. Everything listens on the loopback address only.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=${TMPDIR:-/tmp}/imjax-slurm
conf=/etc/slurm/slurm.conf
mark="# written by imjax's tests/launch/slurm.sh"

alive() { pgrep -x "$1" > /dev/null; }

install() {
  if ! command -v slurmctld slurmd munged sbatch > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge > /dev/null
  fi
}

configure() {
  if [ -e "$conf" ] && ! grep -qF "$mark" "$conf"; then
    echo "$conf is another cluster's: this machine has a Slurm of its own, use that" >&2
    exit 2
  fi
  local host cores
  host=$(hostname -s) cores=$(nproc)
  mkdir -p "$state/ctld" "$state/d" "$(dirname "$conf")"
  # linuxproc, task/none: no cgroups. cred_expire: a job that is requeued waits so many seconds, not 120.
  cat > "$conf" <<END
$mark
ClusterName=imjax
SlurmctldHost=$host(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
MpiDefault=none
KillWait=20
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
}

start() {
  install
  configure
  if ! alive munged; then
    mkdir -p /run/munge && chown munge: /run/munge
    runuser -u munge -- munged
    # Its own to stop, other than one that was there.
    cp /run/munge/munged.pid "$state/munged.pid"
  fi
  alive slurmctld || slurmctld
  alive slurmd || slurmd
  for _ in $(seq 30); do
    # A node that went away while the daemons were stopped is taken back by hand.
    if timeout 5 sinfo --noheader --format=%T 2> /dev/null | grep -qE "idle|mixed|allocated"; then
      sinfo
      return
    fi
    timeout 5 scontrol update NodeName="$(hostname -s)" State=RESUME 2> /dev/null || true
    sleep 1
  done
  echo "Slurm did not come up within 30 s, see $state/*.log" >&2
  exit 1
}

stop() {
  local file pid
  for file in "$state"/slurmd.pid "$state"/slurmctld.pid "$state"/munged.pid; do
    if [ -s "$file" ]; then
      pid=$(cat "$file")
      kill "$pid" 2> /dev/null || true
      # A daemon that is started while the last one still leaves finds its port taken.
      while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done
      echo "ended $(basename "$file" .pid)"
    fi
    rm -f "$file"
  done
}

case ${1:-test} in
  start) start ;;
  stop) stop ;;
  test) start && "${PYTHON:-python}" -m pytest -m slurm tests/launch/test_slurm.py ;;
  *) echo "usage: bash tests/launch/slurm.sh [start|stop|test]" >&2; exit 2 ;;
esac
