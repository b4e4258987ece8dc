"""Clusters as they are brought up: Ray's own code, against an EC2 that is a test double."""
