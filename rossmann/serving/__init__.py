"""The champion over HTTP on Ray Serve: `server` runs in the replicas, `deployment` configures them from outside."""
