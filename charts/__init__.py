"""What people install: one file for kubectl, a chart for Helm, both made from manifests/."""
