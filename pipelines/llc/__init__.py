"""The local learning coefficient of a trained network, estimated by sampling around it."""
