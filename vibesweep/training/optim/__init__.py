"""Optimizers, learning-rate schedules, averaged weights, and when a trial has diverged."""
