#!/usr/bin/env bash
# Once everything listens that `make up` was told to start, say in one line where it is; also into a file or a pipe.
text=ready
while read -r part port title path; do
  is_started=START_$part
  [ "${!is_started}" = true ] || continue
  deployments/after.sh "$port" true
  text+="${separator:-:} $title http://127.0.0.1:$port$path"
  separator=,
done <<PARTS
server $PREFECT_PORT Prefect
mlflow $MLFLOW_PORT MLflow
endpoint $ROSSMANN_HTTP_PORT endpoint /docs
dashboard $DASHBOARD_PORT dashboard
PARTS
echo "$text"
