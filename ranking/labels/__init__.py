"""Turn a teacher's answers into labels: prompt orders, answer parsing, training targets and rationales."""
