"""The process of one tree: it runs steps and keeps the interpreter state after each of them."""
