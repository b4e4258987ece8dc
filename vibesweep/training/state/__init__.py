"""What is saved of a trial.

``checkpoint`` holds its best weights, ``full_state`` all that it resumes from; ``tensor_folder`` is
the safetensors file with JSON beside it that both write.
"""
