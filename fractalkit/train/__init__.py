"""Training: one loop with a moving average, exact resume, several processes and a log.

It knows no model by name: what it trains need only offer the methods of ``loop.Trainable``.
"""

from fractalkit.train.config import TrainConfig

__all__ = ["TrainConfig"]
