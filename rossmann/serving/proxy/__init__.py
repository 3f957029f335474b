"""HAProxy in front of the replicas: Ray Serve starts `launcher` as HAProxy; `guard` starts it again if it is killed."""
