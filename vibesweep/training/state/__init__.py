"""What is kept of a trial: its best weights, and the whole state that it goes on from."""
