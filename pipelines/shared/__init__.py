"""What every pipeline uses: devices, checkpoints, metrics, errors. Knows no pipeline."""
