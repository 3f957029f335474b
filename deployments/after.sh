#!/usr/bin/env bash
# PORT COMMAND …: run a command once something listens on this port of the machine.
until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do sleep 1; done
exec "${@:2}"
