"""The studio: an editor of flames and codes in the browser, drawn by this machine."""
