"""A page in the browser to play with: ``fractalkit demo``. What it does is in work, how it looks in page."""
