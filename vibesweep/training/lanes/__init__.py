"""One trial after another on a Ray Train worker group that stays up."""
