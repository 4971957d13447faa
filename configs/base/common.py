"""What every configuration starts from: the published protocol (Vorndran & Roeck, arXiv 2401.14387)."""

from ml_collections import ConfigDict


def train() -> ConfigDict:
    """One training stage as published: 50 epochs of ⌊images / 32⌋ steps, AdamW, constant rate."""
    return ConfigDict(
        dict(
            epochs=50,
            steps_per_epoch=0,
            batch_size=32,
            optimizer="adamw",
            schedule="constant",
            learning_rate=0.003,
            momentum=0.9,
            weight_decay=1e-4,
            adam_epsilon=1e-7,
            patience=50,
        )
    )


def joint() -> ConfigDict:
    """Joint training as the medical benchmark has it (methods.md 2), with the papers' own figures."""
    never = dict(blur=0, noise=0, gain=0.0, offset=0.0, contrast_prob=0.0, blur_prob=0.0, noise_prob=0.0)
    strong = dict(blur=3, noise=12, gain=0.5, offset=25.0, contrast_prob=0.8, blur_prob=0.5, noise_prob=0.5)
    return ConfigDict(
        dict(
            patch=(),
            predict_overlap=0.5,
            weighting="none",
            ramp=dict(peak=0.1, steps=30_000, unit=150),
            ema_decay=0.99,
            teacher_noise=0.1,
            confidence=0.95,
            cps_labeled=False,
            cutmix=0.5,
            feature_dropout=0.5,
            flip=0.5,
            turn=0.5,
            weak=never,
            strong=strong,
            simeps=dict(nets=3, combine="max", kappa=50.0, stages=("output",)),
            metassl=dict(
                unlabeled=(),
                labeled=(),
                threshold=0.9,
                momentum=0.5,
            ),
        )
    )


def data() -> ConfigDict:
    """What is read and how it is divided, of a set of images of 256²."""
    return ConfigDict(
        dict(
            dataset="",
            dir="",
            cache="",
            depth=0,
            height=256,
            width=256,
            crops=0,
            overlap=0.0,
            fit="resize",
            stretch=False,
            label_fraction=0.1,
            val_fraction=0.1,
            test_fraction=0.2,
            split="published",
            split_seed=0,
            label_kind="auto",
            rotation_invariant=True,
            synthetic_train=400,
            synthetic_val=80,
            synthetic_test=80,
        )
    )


def evalnet() -> ConfigDict:
    """EvalNets, with SUIM's thresholds (methods.md 1.6)."""
    return ConfigDict(
        dict(
            alpha=2.0,
            candidates=5,
            lowest=0.43,
            highest=0.51,
            threshold=0.51,
            pairs=dict(
                passes=10,
                val_passes=3,
                val_candidates=3,
                fewest=2,
                most=4,
                kernels=(0, 3, 5),
                blur=1,
                noise=10,
                gain=0.2,
                offset=10.0,
            ),
            train=train(),
        )
    )


def photometry() -> ConfigDict:
    """How strongly images are changed, by whom and in which generation (methods.md 1.7)."""
    config = ConfigDict()
    config.augment = dict(
        blur=(0, 1, 1, 2, 3),
        noise=(5, 10, 15, 20, 25),
        gain=(0.1, 0.2, 0.3, 0.4, 0.5),
        offset=(5.0, 10.0, 15.0, 20.0, 25.0),
    )
    config.aldt = dict(copies=9, blur=3, noise=25, gain=0.5, offset=25.0)
    config.ensemble = dict(members=2, views=3, blur=2, noise=17, gain=0.3, offset=17.0)
    config.consistency = dict(
        level="mid",
        epochs=100,
        blur=(1, 2, 3),
        noise=(10, 17, 25),
        gain=(0.15, 0.3, 0.5),
        offset=(10.0, 17.0, 25.0),
    )
    return config


def common() -> ConfigDict:
    """Everything but the dataset's own figures."""
    config = ConfigDict()
    config.method = "aim_pp"
    config.seed = 0
    config.generations = 5
    config.num_baseline_nets = 10
    config.candidates = 5
    config.top = 4
    config.baselines = ()
    config.nets_per_device = 0
    config.member_execution = "auto"
    config.max_device_dataset_mib = 4096
    config.eval_batch_size = 32
    config.on_nan = "stop"
    config.select_on_test = False
    config.data = data()
    config.model = dict(
        backbone="study",
        alpha=1.0,
        width_per_generation=(1.0, 1.25, 1.5, 1.75, 2.0),
        dropout=0.0,
        features=(16, 32, 64, 128, 256),
        dropouts=(0.05, 0.1, 0.2, 0.3, 0.5),
        momentum=0.99,
        dtype="auto",
        convolution="auto",
    )
    config.train = train()
    config.update(photometry())
    config.mask = dict(erode=0, dilate=0, zero_image=True, zero_label=True, require_same_classes=False)
    config.evalnet = evalnet()
    config.metassl = False
    config.joint = joint()
    return config
