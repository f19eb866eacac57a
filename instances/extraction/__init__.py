"""Live extraction: which experts the tokens of given prompts use in a Hugging Face model.

Needs the extra ``moeplace[trace]`` (PyTorch, transformers). Everything is local: a folder with
the model, on the CPU. :mod:`~instances.extraction.models` loads it, without needing the extra to
be imported; :mod:`~instances.extraction.capture` runs it and records its routers.
"""

WIDTHS = ("auto", "bfloat16", "float32")
"""Of the weights in memory; ``auto`` is that of the files."""
