"""The dashboard: the notebook's live views as a page of its own, for people outside a notebook."""
