"""Base64 and hex of plausible text: finding the runs, decoding them, and telling text from noise."""
