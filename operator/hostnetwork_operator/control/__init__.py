"""RUN: watches, queues, reconciles. The only package that knows kopf."""
