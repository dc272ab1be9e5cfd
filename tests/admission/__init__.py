"""What the policies of manifests/admission hold, asked of a real API server."""
