"""Shared by all commands: errors, progress, extras, stages of a run and their report."""
