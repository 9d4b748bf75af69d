"""Public functions for notebooks and scripts: `explain` and `check`, in the process that calls them."""
