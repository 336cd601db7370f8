"""Drives the built daemon from outside: a process, raw sockets, frames and the published SDK packages."""
