"""Who is in the mesh, what each can do, and who is best for a task (no clock, socket or task here)."""
