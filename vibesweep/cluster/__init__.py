"""Where work runs: the Ray session, its nodes, how many lanes fit, what an autoscaler adds, and the network between workers."""
