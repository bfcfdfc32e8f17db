"""The interactive demo, ``fractalkit demo``: ``work`` computes, ``page`` lays out the page."""
