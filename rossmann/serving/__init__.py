"""HTTP in, `Forecaster.predict`, HTTP out: the champion on Ray Serve, and how it is put there."""
