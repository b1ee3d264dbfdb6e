"""Characters set apart: an encoding written as `a-G-F-y-b-Q`."""
