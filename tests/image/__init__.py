"""The shipped image: built by buildah from the Dockerfile, and started as the Deployment starts it."""
