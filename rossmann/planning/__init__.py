"""What planners do with forecasts: overrides, uploaded plans, what-if scenarios."""
