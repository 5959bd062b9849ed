"""What labelling costs, each side measured in the same go: ratios count, times are of one machine."""
