"""The process preference model: what it reads, its checkpoint, and the scorer that search asks."""
