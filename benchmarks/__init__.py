"""Measurements of the whole system; each module is run with `python -m`.

__main__   what each stage costs on samples of several sizes (`make bench`); stages is one workspace of it
endpoint   the endpoint under load: speed, CPU time and memory
accuracy   the candidates on eight folds of real data; quantiles: whether the quantiles of the blend are right
sums       the same of the prediction intervals of sums, on the backtest of a training
freshness  what new days are worth without a training, by days after the origin
detection  false alarms of every week, and the days until injected faults are found
loop       the closed loop on the whole stack: one week of drifted data
ray_up     `ray up` and `ray down` on several hosts
accuracy   the candidates of the blend on eight folds of one year
cold_start stores with few days of history or none
fev        the public benchmark fev-bench, scored by fev's own code (`make benchmark-fev`)
load       requests from several connections; for `endpoint` and for tests
"""

import os
import secrets

# Before ray is imported: the Ray that is measured has a token of its own.
os.environ.setdefault("RAY_AUTH_MODE", "token")
if "RAY_AUTH_TOKEN_PATH" not in os.environ:
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
