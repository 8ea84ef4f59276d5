"""Boltzmann machines: restricted (one hidden layer) and deep, trained layer by layer, then jointly.

Sources: Salakhutdinov and Hinton (2009, "Deep Boltzmann machines"); Hinton (2010, "A practical
guide to training restricted Boltzmann machines"); Salakhutdinov and Murray (2008) for the
partition function. The sizes and rates of Lee, Rothenberg and Shah (2017) are inferred from the
public code that their slides evidently build on (github.com/yell/boltzmann-machines, October 2017).

A deep machine takes three trainings, each a `keras.Model` with a `train_step` of its own, so that
each can be trained, stopped and resumed as any generator:

    rbm1 = RBM((28, 28, 1), 512, doubled="up")         on images
    rbm2 = RBM((512,), 1024, doubled="down")           on rbm1.features(images)
    dbm = DBM((28, 28, 1), (512, 1024))                on images, after
    dbm.start_from([rbm1, rbm2], images[:100])

All that a training changes (weights, velocities, persistent chains, running means, the number of
the step) is in `.variables` of the model and of its optimizer; noise is a function of `noise_seed`
and the number of the step. Where that code does other than it says, and how its arithmetic is had
here, is told in `learning`, `rbm.RBM` and `dbm.DBM.compile`.
"""

from replicate.models.boltzmann.dbm import DBM
from replicate.models.boltzmann.learning import Momentum, PerEpoch
from replicate.models.boltzmann.rbm import RBM

__all__ = ["DBM", "RBM", "Momentum", "PerEpoch"]
