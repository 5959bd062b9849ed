"""Parts of the evaluation job: systems, label costs, the report page."""
