"""Read and write point clouds, meshes and pictures; load data sets of images."""

from fractalkit.data.clouds import Cloud, CloudWriter, load_cloud, save_cloud
from fractalkit.data.image_set import ImageSet
from fractalkit.data.image_sets import load_images
from fractalkit.data.mesh_files import Mesh, save_mesh
from fractalkit.data.pictures import PictureFile, read_picture, write_picture

__all__ = [
    "Cloud", "CloudWriter", "ImageSet", "Mesh", "PictureFile", "load_cloud", "load_images", "read_picture",
    "save_cloud", "save_mesh", "write_picture",
]  # fmt: skip
