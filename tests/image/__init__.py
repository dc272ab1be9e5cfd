"""The image as it is shipped: built by buildah from the Dockerfile, and started as the Deployment starts it."""
