"""Nets with predefined outputs, and a batch for them, for tests of single joint methods."""

import jax
import jax.numpy as jnp
import numpy as np

from imjax.config.joint_schema import Joint
from imjax.data.spec import DatasetSpec
from imjax.methods.joint.forward import NetOutput, StudentForward
from imjax.methods.joint.loss import initial_thresholds, joint_loss
from imjax.methods.joint.views import BatchViews
from imjax.methods.registry import JOINT_METHODS

SPEC = DatasetSpec("toy", "Toy", "multiclass", ("a", "b"), ((0, 0, 0),) * 2, channels=1)
NO_AUGMENTATION = Joint(flip_prob=0.0, rotate_prob=0.0)


class FixedNets(StudentForward):
    """Student and teacher that return these logits call by call, and keep the images they were given."""

    def __init__(self, student, teacher=(), step=0):
        self._student, self._teacher, self.step = list(student), list(teacher), jnp.int32(step)
        self._keys_drawn, self.seen, self.teacher_saw = 0, [], []

    def next_key(self):
        self._keys_drawn += 1
        return jax.random.key(self._keys_drawn)

    def __call__(self, index, images, hook=None, perturb=(), taps=False):
        self.seen.append(images)
        logits = self._student.pop(0)
        return NetOutput(logits, [logits * (2.0 + k) for k in range(len(perturb))], {})

    def teacher(self, images):
        self.teacher_saw.append(images)
        return jax.lax.stop_gradient(self._teacher.pop(0))


def two_classes(*first):
    """Logits of two classes for one pixel of each image, where the first has this probability."""
    p = jnp.array(first)
    return jnp.log(jnp.stack([p, 1 - p], -1))[:, None, None]


def make_views(labeled, unlabeled, joint=NO_AUGMENTATION):
    """Views of images of 4×4 pixels, each of one gray level; labels are class 0."""
    make = lambda grays: np.full((len(grays), 4, 4, 1), np.reshape(grays, (-1, 1, 1, 1)), np.uint8)  # noqa: E731
    label = np.zeros((len(labeled), 4, 4), np.uint8)
    batch = {"labeled": {"image": make(labeled), "label": label}, "unlabeled": {"image": make(unlabeled)}}
    return BatchViews(jax.tree.map(jnp.asarray, batch), joint, True, jax.random.key(0))


def loss_and_gradient(name, student, teacher, views, joint=NO_AUGMENTATION):
    """Of a method's whole loss at the end of the ramp-up, for the student's logits call by call."""
    method = JOINT_METHODS[name]

    def loss(student):
        outputs = method.forward(FixedNets(student, teacher, step=10**6), views, joint, False)
        label = views.label[:, :1, :1]
        thresholds = initial_thresholds(method, joint, SPEC)
        return joint_loss(
            outputs, label, jnp.int32(10**6), thresholds, method=method, joint=joint, spec=SPEC
        ).loss

    return jax.value_and_grad(loss)(student)
