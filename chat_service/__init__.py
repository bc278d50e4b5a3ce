"""A self-hosted real-time chat service: metadata in MySQL, bodies in MongoDB, pushes over WebSocket."""

__version__ = "0.1.0"
