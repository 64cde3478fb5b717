"""The CrowdMind factory: trains on a dataset of the dataset API and hands the model for devices back, over
HTTP only.
"""
