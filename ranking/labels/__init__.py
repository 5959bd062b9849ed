"""From a teacher's answer to a label: prompt orders, answer parsing, targets and rationales."""
