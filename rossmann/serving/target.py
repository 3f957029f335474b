"""What the endpoint is to serve: the one value that the server and the deployer share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServingTarget:
    """One model version on one snapshot; None stands for the champion and for the current snapshot.

    The fields are those of `user_config` in deployments/serve.yaml.
    """

    model_version: int | None = None
    snapshot: str | None = None

    def __str__(self) -> str:
        model = "the champion" if self.model_version is None else f"model version {self.model_version}"
        return f"{model} on {f'snapshot {self.snapshot}' if self.snapshot else 'the current snapshot'}"
