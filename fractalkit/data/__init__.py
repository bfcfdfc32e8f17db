"""Data from files: clouds of any usual kind in, clouds out."""

from fractalkit.data.clouds import Cloud, CloudWriter, load_cloud, save_cloud

__all__ = ["Cloud", "CloudWriter", "load_cloud", "save_cloud"]
