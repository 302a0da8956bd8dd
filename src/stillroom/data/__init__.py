"""Data: one module per file; every sample carries its index, and every draw comes from a key."""

from stillroom.data.arrays import Arrays
from stillroom.data.augmentation import DetectionAugmentation
from stillroom.data.cifar10 import CIFAR10
from stillroom.data.cifar100 import CIFAR100
from stillroom.data.coco import COCO
from stillroom.data.digits import Digits
from stillroom.data.draws import draw_key, drawing
from stillroom.data.fashion_mnist import FashionMNIST
from stillroom.data.image_folder import ImageFolder
from stillroom.data.loader import Loader, progress_of
from stillroom.data.mnist import MNIST
from stillroom.data.module import DataModule, Sources
from stillroom.data.noise import Noise
from stillroom.data.order import EpochBatches
from stillroom.data.samples import Samples, Source
from stillroom.data.sets import Sets
from stillroom.data.voc import VOC

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "COCO",
    "MNIST",
    "VOC",
    "Arrays",
    "DataModule",
    "DetectionAugmentation",
    "Digits",
    "EpochBatches",
    "FashionMNIST",
    "ImageFolder",
    "Loader",
    "Noise",
    "Samples",
    "Sets",
    "Source",
    "Sources",
    "draw_key",
    "drawing",
    "progress_of",
]
