#!/usr/bin/env bash
# Deploy the endpoint on the Ray head with its dashboard at PORT, then wait until the head ends: supervisord starts both again.
rossmann serve || exit
while (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do sleep 1; done
