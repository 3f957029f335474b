import os
import secrets

os.environ.setdefault(
    "RAY_AUTH_MODE", "token"
)  # before ray is imported: the Ray that is measured has a token of its own
if "RAY_AUTH_TOKEN_PATH" not in os.environ:
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
