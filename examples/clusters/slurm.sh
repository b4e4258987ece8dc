#!/bin/bash
# A sweep as one Slurm job: Ray's head on the first node, workers on the others, the sweep, and the
# end of all of it.
#   sbatch examples/clusters/slurm.sh search_spaces/lr_opt.py --name mine
# from the project's folder, with its virtual environment in .venv, on a file system that every node
# sees: sweeps/ comes to lie there.
#SBATCH --job-name=vibesweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=12:00:00
#SBATCH --signal=B:INT@180
# The last: three minutes before the time is up the sweep is told to end, as by Ctrl-C, and keeps
# what it has.
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"
# shellcheck disable=SC1091  # it is yours
source .venv/bin/activate

# A node that imports Python packages from a busy file system takes its time.
head_limit_s=120 nodes_limit_s=300
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_ip=$(hostname -I) && head_ip=${head_ip%% *} # this script runs on the first node
# A port of the job's own: nodes may be shared.
RAY_ADDRESS=$head_ip:$((20000 + SLURM_JOB_ID % 10000))
# Others on the nodes stay out.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_ADDRESS RAY_AUTH_TOKEN RAY_AUTH_MODE=token
# At the end nothing runs any more; without this, Ray waits 30 s for the head to empty.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0

steps=()
trap '((${#steps[@]} == 0)) || { kill "${steps[@]}" || true; wait "${steps[@]}" || true; }' EXIT

# start NODES SRUN_OPTION RAY_START_OPTION...: Ray on so many nodes, each with all that the job
# holds there
start() {
  srun --nodes="$1" --ntasks="$1" --cpus-per-task="$SLURM_CPUS_PER_TASK" --overlap "$2" \
    ray start --block --num-cpus="$SLURM_CPUS_PER_TASK" "${@:3}" &
  steps+=($!)
}

# until_so LIMIT_S WHAT COMMAND...: try again until it succeeds; give up at the limit, or when Ray
# has ended on some node
until_so() {
  local ends=$((SECONDS + $1)) step
  until "${@:3}" > /dev/null 2>&1; do
    for step in "${steps[@]}"; do
      kill -0 "$step" 2> /dev/null || { echo "Ray ended before $2: see above" >&2 && exit 1; }
    done
    ((SECONDS < ends)) || { echo "gave up after $1 s of waiting for $2" >&2 && exit 1; }
    sleep 1
  done
}

all_nodes_are_up() {
  python -c 'import sys, ray
ray.init()
alive = sum(node["Alive"] for node in ray.nodes())
sys.exit(alive < int(sys.argv[1]))' "${#nodes[@]}"
}

start 1 --nodelist="${nodes[0]}" \
  --head --node-ip-address="$head_ip" --port="${RAY_ADDRESS##*:}" --dashboard-host=127.0.0.1
until_so "$head_limit_s" "Ray's head was up" ray status --address "$RAY_ADDRESS"
if ((${#nodes[@]} > 1)); then
  start $((${#nodes[@]} - 1)) --exclude="${nodes[0]}" --address="$RAY_ADDRESS"
  until_so "$nodes_limit_s" "all ${#nodes[@]} nodes were up" all_nodes_are_up
fi

told_to_end='' sweep=''
trap 'told_to_end=yes; [[ -z $sweep ]] || kill -INT "$sweep"' INT TERM
set -m # a background process would ignore Ctrl-C's signal otherwise
python -m vibesweep run "$@" &
sweep=$!
set +m
[[ -z $told_to_end ]] || kill -INT "$sweep"
wait "$sweep" || true # returns at a signal, too
trap '' INT TERM
wait "$sweep"
