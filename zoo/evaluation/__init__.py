"""Evaluation of frozen features: probes, nearest neighbours, clusters, and export."""
