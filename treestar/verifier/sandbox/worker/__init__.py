"""The process of one tree: it runs steps and keeps the interpreter state that each of them left."""
