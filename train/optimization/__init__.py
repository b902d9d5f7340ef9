"""From gradients to new weights: update rules with L2 regularisation, schedules, averaged weights, loss scale."""
