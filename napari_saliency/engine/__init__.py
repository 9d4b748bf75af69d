"""Start the engine process and call it."""
