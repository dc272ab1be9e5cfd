"""Tests that ask a real API server what the policies in manifests/admission enforce."""
