"""What the proxies and the application share. Without imports: the launcher runs with each change of replicas."""

CLIENT_HEADER = "X-Rossmann-Client"  # the caller's address; HAProxy overwrites what a caller sends

MESSAGES = {  # of errors that a proxy returns by itself
    408: "the request took too long to arrive, or to answer; send fewer rows, or try again later",
    429: "too many requests are waiting; try again later",
    502: "the replica ended during the request; try again",
    503: "no replica is running; try again later",
    504: "the replica does not respond; try again later",
}


def error_content(status: int, request_id: str) -> dict[str, object]:
    """The JSON of `responses.Error`."""
    text = MESSAGES[status]
    problem = {"message": text, "field": None, "row": None}
    return {"error": f"the request: {text}", "problems": [problem], "request_id": request_id}
