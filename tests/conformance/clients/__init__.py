"""Clients of wire contracts whose own clients are in no registry: the same requests, the same reading of answers."""
