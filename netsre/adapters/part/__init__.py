"""A small process of ours that keeps privileges which its parent gives away, and does a few fixed things.

The parent asks over a socket pair, one request at a time: a command and two numbers, and at most one
descriptor. Nothing in a request is a path, a name or code. The answer is an errno, or bytes and at most one
descriptor. The process ends with its parent, in whatever way that ends, and nobody else can speak to it.
Between the two stands its keeper, which has the same privileges, is asked nothing, and starts it again when
it dies.
"""
