"""What a model's files say about the model, read without loading it, and whether it fits the role it is used in."""
