"""Growth curves: time codings, trajectories, and the formula that they are."""
