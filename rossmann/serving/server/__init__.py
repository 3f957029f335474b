"""What runs in a replica: the HTTP application, and the model that it forecasts with."""
