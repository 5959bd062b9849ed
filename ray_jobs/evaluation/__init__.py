"""Parts of the evaluation job: the systems to compare, label costs and the report page."""
