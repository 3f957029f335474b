#!/bin/sh
# The local stack in the foreground, until this shell gets a signal. To supervisord SIGHUP, which a terminal sends when it is
# closed, means a restart; so supervisord has a session of its own, and every signal reaches it as SIGTERM. If this shell is
# killed, supervisord gets SIGTERM from the kernel.
setsid setpriv --pdeathsig TERM supervisord --nodaemon --configuration deployments/supervisord.conf \
  --user "$(id -un)" --pidfile "$PREFECT_HOME/supervisord.pid" &
trap 'kill -TERM $!' HUP INT TERM
while kill -0 $! 2>/dev/null; do
  wait $!
  status=$?
done
exit $status
