"""What the endpoint is to serve, and how the deployer marks its own requests: all that server and deployer share."""

from dataclasses import dataclass

PURPOSE_HEADER = "X-Rossmann-Purpose"  # of a request that only compares the endpoint with the batch
SMOKE_HEADERS = {PURPOSE_HEADER: "smoke"}


@dataclass(frozen=True)
class ServingTarget:
    """One model version on one snapshot; None stands for the champion and for the current snapshot.

    The fields are those of `user_config` in deployments/serve.yaml.
    """

    model_version: int | None = None
    snapshot: str | None = None

    @property
    def pinned(self) -> tuple[int, str]:
        """Version and snapshot of a target that names both, as the deployer's does. ValueError for any other."""
        if self.model_version is None or self.snapshot is None:
            raise ValueError(f"{self} is no target to deploy: name the version and the snapshot")
        return self.model_version, self.snapshot

    def __str__(self) -> str:
        model = "the champion" if self.model_version is None else f"model version {self.model_version}"
        return f"{model} on {f'snapshot {self.snapshot}' if self.snapshot else 'the current snapshot'}"
