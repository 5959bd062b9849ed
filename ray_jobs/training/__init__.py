"""Parts of the training job: training labels, merging the labels of several runs, and blend fitting."""
