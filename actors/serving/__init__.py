"""The serving deployments: HTTP routes, scoring, traffic between two models, and the exposure and feedback logs."""
