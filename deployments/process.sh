#!/usr/bin/env bash
# STOP_SIGNAL NAME COMMAND …: one process of the local stack, for supervisord. Every line of its output begins with its name.
# When the process ends, whatever it started gets SIGTERM and 15 s: the children of a server, and flow runs, which report
# that they were interrupted. So supervisord never starts a process beside the remains of the one before. If this shell is
# killed, the process gets SIGTERM from the kernel, as this shell does if supervisord is killed.
stop_signal=$1 name=$2
shift 2
export PYTHONUNBUFFERED=1 STACK_OUTPUT=/proc/$$/fd/1
exec > >(trap '' TERM; exec sed --unbuffered "s/^/$(printf '%-8s' "$name") | /") 2>&1
output=$!
setpriv --pdeathsig TERM "$@" &
process=$!
trap 'kill -$stop_signal $process' TERM
while kill -0 $process 2>/dev/null; do
  wait $process
  status=$?
done
trap : TERM
kill -TERM 0 # the process group, which supervisord has created for this shell
exec &>/dev/null
timeout --signal KILL 15 tail --pid=$output --follow /dev/null || kill -KILL 0 # the output ends with its last writer
exit $status
