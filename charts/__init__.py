"""The installation packages: a file for kubectl and a chart for Helm, both rendered from manifests/."""
