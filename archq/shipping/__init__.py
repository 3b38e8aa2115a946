"""Shipping: who owns a queue, what is tried next and when, and how an arrival is delivered."""
