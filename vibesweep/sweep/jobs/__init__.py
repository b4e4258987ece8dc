"""A sweep on a cluster's job server: submitted, followed, stopped."""
