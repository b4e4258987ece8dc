"""One trial: batches -> loop -> checkpoint. The loop is plain PyTorch with no Ray in it; ``lane`` brings it to a Ray Train worker group."""
