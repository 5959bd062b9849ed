"""Parts of the training job: labels to learn from, merging, blend fitting."""
