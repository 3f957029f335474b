"""Measurements of the whole system; each module is run with `python -m`.

__main__   what each stage costs on samples of several sizes (`make bench`); stages is one workspace of it
endpoint   the endpoint under load: speed, CPU time and memory
freshness  what new days are worth without a training, by days after the origin
detection  false alarms of every week, and the days until injected faults are found
loop       the closed loop on the whole stack: one week of drifted data
ray_up     `ray up` and `ray down` on several hosts
load       requests from several connections; for `endpoint` and for tests
"""

import os
import secrets

# Before ray is imported: the Ray that is measured has a token of its own.
os.environ.setdefault("RAY_AUTH_MODE", "token")
if "RAY_AUTH_TOKEN_PATH" not in os.environ:
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
