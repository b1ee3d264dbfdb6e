"""Input and output: each transport moves bytes and leaves every decision to the pipeline."""
