"""Training with PyTorch. Importing these modules imports torch."""
