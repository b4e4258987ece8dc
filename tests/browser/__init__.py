"""Tests in a headless Chromium."""
