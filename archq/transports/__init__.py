"""The remote directories a file can be put into: one module a protocol, all behind one interface."""
