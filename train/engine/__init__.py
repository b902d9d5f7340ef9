"""The step of a training: the devices it is spread over, the network it trains, its state and its memory."""
