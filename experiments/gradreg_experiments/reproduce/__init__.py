"""The paper's experiments as tables beside the poster's; their data sets, as published."""

DATA: dict[str, tuple[str, ...]] = {
    "toy": (),
    "weight-decay": ("mnist", "cifar-10", "cifar-100"),
    "dropout-batchnorm": ("mnist",),
    "train-size": ("mnist",),
    "confidence-penalty": ("mnist", "cifar-10", "cifar-100"),
    "semi-supervised": ("mnist",),
    "tinyimagenet": ("tiny-imagenet-200",),
    "local-global": ("mnist",),
    "initialisation": ("mnist",),
    "probes": ("mnist", "cifar-10", "cifar-100"),
}
