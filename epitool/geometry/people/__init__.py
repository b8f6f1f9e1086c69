"""Identities of people: candidates in every view, followed through time and matched between views."""
