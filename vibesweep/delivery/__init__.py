"""What a user takes away from a sweep: export (the tuned model's folder) and synthesize (speech). It reads the sweep's folder; no ray."""
