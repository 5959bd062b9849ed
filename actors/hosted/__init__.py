"""Language models behind an OpenAI-compatible chat-completions API, asked online or through batch files."""
