"""Base64, base32 and hex of plausible text: finding the runs, decoding them, and telling text from noise."""
