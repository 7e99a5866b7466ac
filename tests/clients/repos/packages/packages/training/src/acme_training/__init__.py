"""A nearest-centroid classifier on the features of acme_features."""
