"""The data sets that can be read, where each is obtained, and its published MD5 sums."""

from gradreg_experiments.data import cifar, mnist, tiny_imagenet
from gradreg_experiments.data.dataset import Known

# Files of MNIST, and of Fashion-MNIST.
_IMAGES, _LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_TEST_IMAGES, _TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
_TABLE = (
    Known(
        name="digits",
        title="scikit-learn's digits",
        source="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html",
        counts=(1297, 500),
        read=mnist.read_digits,
    ),
    Known(
        name="mnist",
        title="MNIST",
        source="http://yann.lecun.com/exdb/mnist/",
        folders=("mnist", "MNIST/raw", "MNIST"),
        # Gzipped, unpacked.
        files={
            _IMAGES: ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
            _LABELS: ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
            _TEST_IMAGES: ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
            _TEST_LABELS: ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
        },
        counts=(60_000, 10_000),
        read=mnist.read,
    ),
    Known(
        name="fashion-mnist",
        title="Fashion-MNIST",
        source="https://github.com/zalandoresearch/fashion-mnist",
        folders=("fashion-mnist", "FashionMNIST/raw", "FashionMNIST"),
        files={
            _IMAGES: ("8d4fb7e6c68d591d4c3dfef9ec88bf0d",),
            _LABELS: ("25c81989df183df01b3e8a0aad5dffbe",),
            _TEST_IMAGES: ("bef4ecab320f06d8554ea6380940ec79",),
            _TEST_LABELS: ("bb300cfdad3c16e7a12a480ee83cd310",),
        },
        counts=(60_000, 10_000),
        read=mnist.read,
    ),
    Known(
        name="cifar-10",
        title="CIFAR-10 (python version)",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        folders=("cifar-10-batches-py",),
        files={
            "data_batch_1": ("c99cafc152244af753f735de768cd75f",),
            "data_batch_2": ("d4bba439e000b95fd0a9bffe97cbabec",),
            "data_batch_3": ("54ebc095f3ab1f0389bbae665268c751",),
            "data_batch_4": ("634d18415352ddfa80567beed471001a",),
            "data_batch_5": ("482c414d41f54cd18b22e5b47cb7c3cb",),
            "test_batch": ("40351d587109b95175f43aff81a1287e",),
            "batches.meta": ("5ff9c542aee3614f3951f8cda6e48888",),
        },
        counts=(50_000, 10_000),
        read=cifar.read_10,
    ),
    Known(
        name="cifar-100",
        title="CIFAR-100 (python version)",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        folders=("cifar-100-python",),
        files={
            "train": ("16019d7e3df5f24257cddd939b257f8d",),
            "test": ("f0ef6b0ae62326f3e7ffdfab6717acfc",),
            "meta": ("7973b15100ade9c7d40fb424638fde48",),
        },
        counts=(50_000, 10_000),
        read=cifar.read_100,
    ),
    Known(
        name="tiny-imagenet-200",
        title="TinyImageNet-200",
        source="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        folders=("tiny-imagenet-200",),
        files={"wnids.txt": (), "val/val_annotations.txt": ()},
        counts=(100_000, 10_000),
        read=tiny_imagenet.read,
    ),
)
DATA_SETS = {known.name: known for known in _TABLE}
