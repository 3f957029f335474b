"""What planners add to forecasts: overrides, the value that these added, and plans of their own."""
